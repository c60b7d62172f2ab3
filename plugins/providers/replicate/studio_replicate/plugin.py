"""Hooks of the plugin `replicate`: wiring only. The generators are imported at their first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ProviderSpec, StudioHooks, hookimpl
from studio_replicate.models import specs_of
from studio_replicate.settings import ReplicateSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import PluginContext

_TARGETS = {
    "image": "ReplicateImageGenerator",
    "image_edit": "ReplicateImageEditor",
    "video": "ReplicateVideoGenerator",
    "music": "ReplicateMusicGenerator",
}
_UPLOADS_S = 300.0
"""What uploads may add to the deadline of a call."""


class Plugin(StudioHooks):
    """Images, edits, videos and music by models on Replicate."""

    manifest = Manifest(name="replicate", settings=ReplicateSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return a provider for each capability that has a model; without a token they say what to set."""
        settings = ctx.settings(ReplicateSettings)
        return [
            ProviderSpec(
                name="replicate", capability=capability, target=f"studio_replicate.generators:{target}",
                models=models, priority=settings.priority, deadline_s=settings.deadline_s + _UPLOADS_S,
                missing=None if settings.api_token else "set STUDIO_REPLICATE__API_TOKEN",
                webhooks=True, file_hosts=settings.file_hosts,
            )
            for capability, target in _TARGETS.items() if (models := specs_of(settings, capability))
        ]  # fmt: skip
