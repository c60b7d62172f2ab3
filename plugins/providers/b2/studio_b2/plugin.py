"""Hooks of the plugin `b2`: wiring only. The client is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ProviderSpec, StudioHooks, hookimpl
from studio_b2.settings import B2Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import PluginContext


class Plugin(StudioHooks):
    """Files in Backblaze B2."""

    manifest = Manifest(name="b2", settings=B2Settings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return the storage; without key or bucket it says what to set."""
        settings = ctx.settings(B2Settings)
        return [
            ProviderSpec(
                name="b2", capability="storage", target="studio_b2.storage:B2FileStorage",
                missing=settings.missing, deadline_s=settings.deadline_s, idempotent_submit=True,
            )
        ]  # fmt: skip
