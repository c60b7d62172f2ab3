"""Hooks of the plugin `fal`: wiring only. The generators are imported at their first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ProviderSpec, StudioHooks, hookimpl
from studio_fal.models import specs_of
from studio_fal.settings import FalSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import PluginContext

_TARGETS = {
    "image": "FalImageGenerator",
    "image_edit": "FalImageEditor",
    "video": "FalVideoGenerator",
    "music": "FalMusicGenerator",
}
_UPLOADS_S = 300.0
"""What uploads may add to the deadline of a call."""


class Plugin(StudioHooks):
    """Images, edits, videos and music by models on fal.ai."""

    manifest = Manifest(name="fal", settings=FalSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return a provider for each capability that has a model; without a key they say what to set."""
        settings = ctx.settings(FalSettings)
        return [
            ProviderSpec(
                name="fal", capability=capability, target=f"studio_fal.generators:{target}",
                models=models, priority=settings.priority, deadline_s=settings.deadline_s + _UPLOADS_S,
                missing=None if settings.api_key else "set STUDIO_FAL__API_KEY",
                webhooks=True, file_hosts=settings.file_hosts,
            )
            for capability, target in _TARGETS.items() if (models := specs_of(settings, capability))
        ]  # fmt: skip
