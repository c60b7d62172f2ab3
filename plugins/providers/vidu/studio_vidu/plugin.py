"""Hooks of the plugin `vidu`: wiring only. The client is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ProviderSpec, StudioHooks, hookimpl
from studio_vidu.models import specs_of
from studio_vidu.settings import ViduSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import PluginContext

_MARGIN_S = 10.0
"""So much longer than the HTTP client may the whole call take: the client's own error says more."""


class Plugin(StudioHooks):
    """Videos by Vidu."""

    manifest = Manifest(name="vidu", settings=ViduSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return the videos; without a key they say what to set."""
        settings = ctx.settings(ViduSettings)
        return [
            ProviderSpec(
                name="vidu", capability="video", target="studio_vidu.video:ViduVideoGenerator",
                models=specs_of(settings), priority=settings.priority, deadline_s=settings.deadline_s + _MARGIN_S,
                missing=None if settings.api_key else "set STUDIO_VIDU__API_KEY",
                webhooks=True, file_hosts=settings.file_hosts,
            )
        ]  # fmt: skip
