"""Hooks of the plugin `replicate`: wiring only. The generators are imported at their first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, StudioHooks, hookimpl
from studio_jobvendor.api import declared
from studio_replicate.settings import ReplicateSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import PluginContext, ProviderSpec

_TARGETS = {
    "image": "studio_replicate.generators:ReplicateImageGenerator",
    "image_edit": "studio_replicate.generators:ReplicateImageEditor",
    "video": "studio_replicate.generators:ReplicateVideoGenerator",
    "music": "studio_replicate.generators:ReplicateMusicGenerator",
}


class Plugin(StudioHooks):
    """Images, edits, videos and music by models on Replicate."""

    manifest = Manifest(name="replicate", settings=ReplicateSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return a provider for each capability that has a model; without a token they say what to set."""
        settings = ctx.settings(ReplicateSettings)
        missing = None if settings.api_token else "set STUDIO_REPLICATE__API_TOKEN"
        return declared("replicate", settings, _TARGETS, missing)
