"""Hooks of the plugin `centrifugo`: wiring only."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import HealthCheck, Manifest, RealtimeTransport, StudioHooks, hookimpl
from studio_centrifugo.api import FrontendPublisher
from studio_centrifugo.routes import ROUTES
from studio_centrifugo.service import TokenService
from studio_centrifugo.settings import CentrifugoSettings
from studio_centrifugo.transport import CentrifugoTransport, NoCentrifugo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import PluginContext, Route


class Plugin(StudioHooks):
    """The successor of Socket.IO, once it is configured."""

    manifest = Manifest(name="centrifugo", provides=("FrontendPublisher",), settings=CentrifugoSettings)

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the tokens' routes."""
        return ROUTES

    @hookimpl
    def register_health_checks(self, ctx: PluginContext) -> list[HealthCheck]:
        """Return the check of what gets through."""
        if not _configured(ctx):
            return []
        return [HealthCheck("centrifugo", lambda: ctx.service(CentrifugoTransport).check(), critical=False)]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide tokens, the publisher and the transport; send at the stop what is queued."""
        settings = ctx.settings(CentrifugoSettings)
        ctx.provide(TokenService, TokenService(ctx, settings))
        if not _configured(ctx):
            ctx.provide(FrontendPublisher, NoCentrifugo())  # type: ignore[type-abstract]  # a protocol is a key
            yield
            return
        transport = CentrifugoTransport(ctx, settings)
        ctx.provide(FrontendPublisher, transport)  # type: ignore[type-abstract]  # as above
        ctx.provide(CentrifugoTransport, transport)
        _show(ctx, transport)
        yield
        await transport.close()

    @hookimpl
    def realtime_backends(self, ctx: PluginContext) -> list[RealtimeTransport]:
        """Return the transport where Centrifugo is configured."""
        return [ctx.service(CentrifugoTransport)] if _configured(ctx) else []


def _configured(ctx: PluginContext) -> bool:
    settings = ctx.settings(CentrifugoSettings)
    return bool(settings.api_url and settings.api_key)


def _show(ctx: PluginContext, transport: CentrifugoTransport) -> None:
    """Put the figures of the queue among the metrics."""
    sender, gauge = transport.sender, ctx.metrics.gauge
    gauge("studio_centrifugo_queued", "Messages that wait for Centrifugo", lambda: sender.queued)
    gauge("studio_centrifugo_dropped", "Messages that were too many or too old", lambda: sender.dropped)
    gauge("studio_centrifugo_refused", "Messages that Centrifugo refused", lambda: sender.refused)
