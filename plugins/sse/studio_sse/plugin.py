"""Wires the event stream into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Manifest, PluginContext, RealtimeTransport, Route, StudioHooks, hookimpl
from studio_sse.hub import EventHub
from studio_sse.routes import ROUTES
from studio_sse.settings import SseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plugin(StudioHooks):
    """The third transport: it needs no library on the client."""

    manifest = Manifest(name="sse", settings=SseSettings)

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the stream."""
        return ROUTES

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Keep the hub, and end every stream at the stop."""
        hub = EventHub(ctx.settings(SseSettings))
        ctx.provide(EventHub, hub)
        yield
        await hub.close()

    @hookimpl
    def realtime_backends(self, ctx: PluginContext) -> list[RealtimeTransport]:
        """Return the hub: it sends to the streams of this process."""
        return [ctx.service(EventHub)]
