"""Hooks of the plugin `xai`: wiring only. A provider's module is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ProviderSpec, StudioHooks, hookimpl
from studio_openai.api import priced
from studio_xai.settings import XaiSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import PluginContext

_SPARE_S = 5.0
"""A call gives up by itself before its deadline, and can say why."""


class Plugin(StudioHooks):
    """Chat, pictures, edits and videos of xAI."""

    manifest = Manifest(name="xai", settings=XaiSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return four providers; without a key they say what to set, and nothing of them is imported."""
        settings = ctx.settings(XaiSettings)
        pictures = ("image/jpeg", "image/png", "image/webp")
        chat, image, video = settings.chat_deadline_s, settings.image_deadline_s, settings.video_deadline_s
        table = (
            ("chat", "chat:XaiChatModel", settings.chat_models, (), chat),
            ("image", "image:XaiImageGenerator", settings.image_models, pictures, image),
            ("image_edit", "image:XaiImageEditor", settings.image_models, pictures, image),
            ("video", "video:XaiVideoGenerator", settings.video_models, ("video/mp4",), video),
        )
        return [
            ProviderSpec(
                name="xai", capability=capability, target=f"studio_xai.{target}",
                models=priced(models, settings.prices, formats), missing=settings.missing,
                deadline_s=deadline_s + _SPARE_S, file_hosts=tuple(settings.file_hosts),
            )
            for capability, target, models, formats, deadline_s in table
        ]  # fmt: skip
