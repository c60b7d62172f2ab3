"""Hooks of the plugin `moderation`: wiring only."""

from __future__ import annotations

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
from studio_moderation.api import CAPABILITY
from studio_moderation.service import Moderation
from studio_moderation.settings import WORDS, ModerationSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plugin(StudioHooks):
    """Judges every new take before it is shown; off until it is wanted."""

    manifest = Manifest(name="moderation", settings=ModerationSettings, required=True)
    """Required: without it nothing would be judged, so a platform that has it does not start when it fails."""

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> list[ProviderSpec]:
        """Return the operator's list of words as a provider."""
        missing = None if ctx.settings(ModerationSettings).words else "set STUDIO_MODERATION__WORDS"
        model = ModelSpec("words", "free", 0)
        target = "studio_moderation.words:WordsModerator"
        return [ProviderSpec(WORDS, CAPABILITY, target, (model,), missing=missing, idempotent_submit=True)]

    @hookimpl
    def register_health_checks(self, ctx: PluginContext) -> list[HealthCheck]:
        """Hold readiness back where it is on and cannot judge."""

        async def probe() -> str:
            return await ctx.service(Moderation).check()

        return [HealthCheck("moderation", probe)]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Make the service."""
        ctx.provide(Moderation, Moderation(ctx))
        yield

    @hookimpl
    async def finalize_asset(self, ctx: PluginContext, asset: Doc) -> Doc | None:
        """Let nothing pass that was not judged."""
        return await ctx.service(Moderation).finalize(asset)
