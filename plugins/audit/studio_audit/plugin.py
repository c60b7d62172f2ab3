"""Wires the audit log into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Collection, Index, Manifest, Permission, PluginContext, Route, StudioHooks, hookimpl
from studio_audit.api import AuditLog
from studio_audit.routes import ROUTES
from studio_audit.service import AuditService
from studio_audit.settings import AuditSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plugin(StudioHooks):
    """The audit log."""

    manifest = Manifest(name="audit", settings=AuditSettings, provides=("AuditLog",))

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the two lists."""
        return ROUTES

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        """Return who may read it."""
        return [
            Permission("audit:read", "See every change to access", "platform"),
            Permission("project:audit", "See the changes to a project and its collaborators"),
        ]

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return the entries."""
        fields = ("actor.id", "project_id", "target.id", "action")
        indexes = tuple(Index(((name, 1), ("_id", -1))) for name in fields)
        return [Collection("audit_log", indexes=(*indexes, Index((("expires_at", 1),), ttl_s=0)))]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the service, also as `AuditLog`."""
        service = AuditService(ctx, ctx.settings(AuditSettings))
        ctx.provide(AuditService, service)
        ctx.provide(AuditLog, service)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        yield
