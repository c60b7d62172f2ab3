"""Wires Socket.IO into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Manifest, PluginContext, RealtimeTransport, Route, StudioHooks, hookimpl
from studio_socketio.routes import ROUTES
from studio_socketio.settings import SocketioSettings
from studio_socketio.transport import SocketTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plugin(StudioHooks):
    """The transport of the existing front end."""

    manifest = Manifest(name="socketio", settings=SocketioSettings)

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the address that the client library calls."""
        return ROUTES

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Keep the server, and close every connection at the stop."""
        transport = SocketTransport(ctx, ctx.settings(SocketioSettings))
        ctx.provide(SocketTransport, transport)
        yield
        await transport.close()

    @hookimpl
    def realtime_backends(self, ctx: PluginContext) -> list[RealtimeTransport]:
        """Return the transport: it sends to the connections of this process."""
        return [ctx.service(SocketTransport)]
