"""Wires roles into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import AccessQuery, Decision, Manifest, PluginContext, Route, StudioHooks, hookimpl
from studio_projects.api import RoleBook
from studio_rbac.routes import ROUTES
from studio_rbac.service import RoleService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plugin(StudioHooks):
    """The owner of `authorize`."""

    manifest = Manifest(name="rbac", requires=("projects",), provides=("RoleBook",))

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/rbac."""
        return ROUTES

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the role service, also as `RoleBook`."""
        self._roles = RoleService(ctx)
        ctx.provide(RoleService, self._roles)
        ctx.provide(RoleBook, self._roles)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        yield

    @hookimpl
    async def authorize(self, ctx: PluginContext, query: AccessQuery) -> Decision | None:
        """Decide by the actor's role."""
        return await self._roles.decide(query)
