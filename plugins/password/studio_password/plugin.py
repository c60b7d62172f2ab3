"""Wires sign-in by password into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Collection, Index, Manifest, PluginContext, Route, StudioHooks, hookimpl
from studio_password.handlers import refuse
from studio_password.hashing import Hashing
from studio_password.routes import ROUTES
from studio_password.service import PasswordService
from studio_password.settings import PasswordSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import Middleware


class Plugin(StudioHooks):
    """Another way to prove who one is; the session that follows is `auth`'s."""

    manifest = Manifest(name="password", settings=PasswordSettings, requires=("auth",), after=("audit",))

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/auth/password."""
        return ROUTES

    @hookimpl
    def register_middlewares(self, ctx: PluginContext) -> list[Middleware]:
        """Refuse every call until the operator switches it on."""
        return [] if ctx.settings(PasswordSettings).enabled else [refuse]

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return the hashes, by user, and the tries, by address."""
        return [
            Collection("passwords"),
            Collection("password_tries", indexes=(Index((("expires_at", 1),), ttl_s=0),)),
        ]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the service, with two threads for its hashes."""
        settings, hashing = ctx.settings(PasswordSettings), Hashing()
        nobody = await hashing.hash("nobody's password") if settings.enabled else ""
        ctx.provide(PasswordService, PasswordService(ctx, settings, hashing, nobody))
        yield
        hashing.close()
