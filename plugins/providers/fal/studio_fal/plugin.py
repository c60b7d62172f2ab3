"""Hooks of the plugin `fal`: wiring only. The generators are imported at their first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, StudioHooks, hookimpl
from studio_fal.settings import FalSettings
from studio_jobvendor.api import declared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import PluginContext, ProviderSpec

_TARGETS = {
    "image": "studio_fal.generators:FalImageGenerator",
    "image_edit": "studio_fal.generators:FalImageEditor",
    "video": "studio_fal.generators:FalVideoGenerator",
    "music": "studio_fal.generators:FalMusicGenerator",
}


class Plugin(StudioHooks):
    """Images, edits, videos and music by models on fal.ai."""

    manifest = Manifest(name="fal", settings=FalSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return a provider for each capability that has a model; without a key they say what to set."""
        settings = ctx.settings(FalSettings)
        return declared("fal", settings, _TARGETS, None if settings.api_key else "set STUDIO_FAL__API_KEY")
