"""Hooks of the plugin `provenance`: wiring only."""

from __future__ import annotations

import importlib.util
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import (
    Doc,
    HealthCheck,
    Manifest,
    ModelSpec,
    PluginContext,
    ProviderSpec,
    StudioHooks,
    hookimpl,
)
from studio_provenance.api import CAPABILITY
from studio_provenance.service import Provenance
from studio_provenance.settings import ProvenanceSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INSTALL = "install it with `pip install 'studio-provenance[c2pa]'`"


class Plugin(StudioHooks):
    """Signs what is new, where there is a key."""

    manifest = Manifest(
        name="provenance", after=("moderation", "asset_gen", "previews"), settings=ProvenanceSettings
    )
    """Last: what is signed is not changed any more."""

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> list[ProviderSpec]:
        """Return the signer with the operator's key, or what to set."""
        settings = ctx.settings(ProvenanceSettings)
        missing = (
            settings.missing if importlib.util.find_spec("c2pa") else f"c2pa-python is not there: {INSTALL}"
        )
        target, model = "studio_provenance.signer:C2paSigner", ModelSpec("c2pa", "free", 0)
        return [ProviderSpec("c2pa", CAPABILITY, target, (model,), missing=missing, idempotent_submit=True)]

    @hookimpl
    def register_health_checks(self, ctx: PluginContext) -> list[HealthCheck]:
        """Hold readiness back where signatures are required and nobody signs."""

        async def probe() -> str:
            return await ctx.service(Provenance).check()

        return [HealthCheck("provenance", probe)]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Make the service."""
        ctx.provide(Provenance, Provenance(ctx))
        yield

    @hookimpl
    async def finalize_asset(self, ctx: PluginContext, asset: Doc) -> Doc | None:
        """Sign the file."""
        return await ctx.service(Provenance).finalize(asset)
