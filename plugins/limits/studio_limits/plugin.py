"""Wires the limits into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Manifest, StudioHooks, hookimpl
from studio_limits.limiter import Limiter
from studio_limits.settings import LimitsSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import Middleware, PluginContext, Route


class Plugin(StudioHooks):
    """Wraps every route, if the operator lets it (`plugins.global_middlewares`, where it stands by default)."""

    manifest = Manifest("limits", settings=LimitsSettings, required=True)

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Count in this process at once, and with the others as soon as Redis is there."""
        self._limiter = Limiter(ctx, ctx.settings(LimitsSettings))
        ctx.spawn(self._limiter.keep_sharing(), "share")
        yield
        await self._limiter.shared.close()

    @hookimpl
    def wrap_route(self, ctx: PluginContext, route: Route) -> Middleware | None:
        """Return the middleware that counts calls of `route`."""
        return self._limiter.wrap(route)
