"""Wires roles into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import (
    AccessQuery,
    ActivityAction,
    Collection,
    Decision,
    Index,
    Manifest,
    Permission,
    PluginContext,
    Route,
    StudioHooks,
    hookimpl,
)
from studio_projects.api import RoleBook
from studio_rbac.own import OwnRoleService
from studio_rbac.routes import ROUTES
from studio_rbac.service import RoleService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plugin(StudioHooks):
    """The owner of `authorize`."""

    manifest = Manifest(name="rbac", requires=("projects",), after=("audit",), provides=("RoleBook",))

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/rbac."""
        return ROUTES

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        """Return the right over a project's own roles."""
        return [Permission("project:roles", "Make and change the project's own roles")]

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return the roles that projects have made for themselves."""
        indexes = (Index((("project_id", 1), ("key", 1)), unique=True),)
        defaults = {"project_id": ..., "rev": ..., "key": "", "title": "", "permissions": []}
        return [Collection("roles", indexes=indexes, defaults=defaults)]

    @hookimpl
    def register_activities(self, ctx: PluginContext) -> list[ActivityAction]:
        """Return the life of a role."""
        return [
            ActivityAction("role.created", "made the role {title}", "collaborators"),
            ActivityAction("role.changed", "changed the role {title}", "collaborators"),
            ActivityAction("role.deleted", "removed the role {title}", "collaborators"),
        ]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the role service, also as `RoleBook`."""
        self._roles = RoleService(ctx)
        ctx.provide(RoleService, self._roles)
        ctx.provide(OwnRoleService, OwnRoleService(ctx, self._roles))
        ctx.provide(RoleBook, self._roles)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        yield

    @hookimpl
    async def authorize(self, ctx: PluginContext, query: AccessQuery) -> Decision | None:
        """Decide by the actor's role."""
        return await self._roles.decide(query)
