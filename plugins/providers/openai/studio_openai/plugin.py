"""Hooks of the plugin `openai`: wiring only. A provider's module is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ProviderSpec, StudioHooks, hookimpl
from studio_openai.files import OutputFolder
from studio_openai.prices import free_unless_priced, priced
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from studio import PluginContext

_SPARE_S = 5.0
"""A call gives up by itself before its deadline, and can say why."""


class Plugin(StudioHooks):
    """Chat, pictures, edits, voices and moderation of OpenAI, or of a server that speaks its protocol."""

    manifest = Manifest(name="openai", settings=OpenaiSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return five providers, and videos where a model is named; without a key they say what to set."""
        settings = ctx.settings(OpenaiSettings)
        pictures = ("image/png", "image/jpeg", "image/webp")
        voices = ("audio/wav", "audio/mpeg", "audio/ogg", "audio/aac", "audio/flac")
        chat, image, voice = settings.chat_deadline_s, settings.image_deadline_s, settings.voice_deadline_s
        model = "chat:OpenaiChatModel" if settings.responses else "compatible:OpenaiCompatibleChat"
        told = settings.responses and settings.webhook_secret is not None
        table = (
            ("chat", model, settings.chat_models, (), chat, told),
            ("image", "image:OpenaiImageGenerator", settings.image_models, pictures, image, False),
            ("image_edit", "image:OpenaiImageEditor", settings.image_models, pictures, image, False),
            ("voice", "voice:OpenaiVoiceGenerator", settings.voice_models, voices, voice, False),
        )
        made = [
            ProviderSpec(
                name="openai", capability=capability, target=f"studio_openai.{target}",
                models=priced(models, settings.prices, formats), missing=settings.missing,
                deadline_s=deadline_s + _SPARE_S, webhooks=webhooks,
            )
            for capability, target, models, formats, deadline_s, webhooks in table
        ]  # fmt: skip
        film = ProviderSpec(
            name="openai", capability="video", target="studio_openai.video:OpenaiVideoGenerator",
            models=priced(settings.video_models, settings.prices, ("video/mp4",)), missing=settings.missing,
            deadline_s=settings.video_deadline_s + _SPARE_S,
        )  # fmt: skip
        return [*made, _judge(settings), *([film] if film.models else [])]

    @hookimpl
    def lifespan(self, ctx: PluginContext) -> AbstractAsyncContextManager[None]:
        """Remove files that came back long ago while the server runs."""
        settings = ctx.settings(OpenaiSettings)
        return OutputFolder(settings.work_dir, keep_h=settings.keep_files_h).running()


def _judge(settings: OpenaiSettings) -> ProviderSpec:
    """Return the moderator: it starts nothing, so a question that was lost may be asked again."""
    return ProviderSpec(
        name="openai", capability="moderation", target="studio_openai.moderation:OpenaiModerator",
        models=free_unless_priced(settings.moderation_models, settings.prices), missing=settings.missing,
        deadline_s=settings.moderation_deadline_s + _SPARE_S, idempotent_submit=True,
    )  # fmt: skip
