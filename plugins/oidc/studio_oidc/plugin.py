"""Wires sign-in by OpenID Connect into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Collection, Index, Manifest, PluginContext, Route, StudioHooks, hookimpl
from studio_oidc.routes import ROUTES
from studio_oidc.service import OidcService
from studio_oidc.settings import OidcSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHORT_LIVED = (Index((("expires_at", 1),), ttl_s=0),)


class Plugin(StudioHooks):
    """Another way to prove who one is; the session that follows is `auth`'s."""

    manifest = Manifest(name="oidc", settings=OidcSettings, requires=("auth",), after=("audit",))

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/auth/oidc."""
        return ROUTES

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return sign-ins under way, codes of ours, and whose identity is linked to which account."""
        return [
            Collection("oidc_flows", indexes=SHORT_LIVED),
            Collection("oidc_grants", indexes=SHORT_LIVED),
            Collection("oidc_identities", indexes=(Index((("user_id", 1),)),)),
        ]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the service; providers are asked for their description at the first sign-in."""
        ctx.provide(OidcService, OidcService(ctx, ctx.settings(OidcSettings)))
        yield
