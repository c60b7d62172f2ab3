"""Hooks of the plugin `prefect`: wiring only. The client is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ModelSpec, ProviderSpec, StudioHooks, hookimpl
from studio_prefect.settings import PrefectSettings

if TYPE_CHECKING:
    from studio import PluginContext


class Plugin(StudioHooks):
    """Pipelines on Prefect."""

    manifest = Manifest(name="prefect", settings=PrefectSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> list[ProviderSpec]:
        """Return the pipeline runner; without an address it says what to set."""
        settings = ctx.settings(PrefectSettings)
        return [
            ProviderSpec(
                name="prefect",
                capability="pipeline",
                target="studio_prefect.client:PrefectPipelineRunner",
                models=(ModelSpec("prefect-3", price_kind="free", unit_price_uusd=0),),
                missing=None if settings.api_url else "set STUDIO_PREFECT__API_URL",
                deadline_s=2 * settings.deadline_s + 5,  # a submit is two calls
                webhooks=settings.webhook_secret is not None,
                idempotent_submit=True,
            )
        ]
