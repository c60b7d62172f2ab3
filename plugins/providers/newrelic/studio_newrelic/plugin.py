"""Hooks of the plugin `newrelic`: wiring only."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Manifest, StudioHooks, hookimpl
from studio_newrelic.service import NewRelic
from studio_newrelic.settings import NewrelicSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import Doc, PluginContext


class Plugin(StudioHooks):
    """Forwards errors, and jobs that have ended, once it is configured."""

    manifest = Manifest(name="newrelic", settings=NewrelicSettings)

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Keep the queues, and send at the stop what is in them."""
        settings = ctx.settings(NewrelicSettings)
        if settings.license_key is None:
            yield
            return
        service = NewRelic(ctx, settings)
        ctx.provide(NewRelic, service)
        service.show(ctx)
        yield
        await service.close()

    @hookimpl
    async def error_captured(self, ctx: PluginContext, error: Doc) -> None:
        """Forward an error."""
        if ctx.settings(NewrelicSettings).license_key is not None:
            ctx.service(NewRelic).record_error(error)

    @hookimpl
    async def job_changed(self, ctx: PluginContext, job: Doc) -> None:
        """Forward a job that has ended."""
        if ctx.settings(NewrelicSettings).license_key is not None:
            ctx.service(NewRelic).record_job(job)
