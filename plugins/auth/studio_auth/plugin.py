"""Wires accounts into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import (
    Actor,
    Collection,
    Credentials,
    Index,
    Manifest,
    PluginContext,
    Route,
    StudioHooks,
    hookimpl,
)
from studio_auth.api import Codes, SignIns
from studio_auth.keys import ApiKeyService, key_shown
from studio_auth.otp import OtpService
from studio_auth.routes import ROUTES
from studio_auth.service import AccountService
from studio_auth.settings import AuthSettings
from studio_auth.tokens import Tokens
from studio_auth.watch import RevocationWatch
from studio_projects.api import UserDirectory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REVOKED = Index((("revoked_at", 1),), partial={"revoked_at": {"$gt": 0}})
NOBODYS = {"user_id": ""}
"""A session or key that does not say whose it is lets nobody in."""


class Plugin(StudioHooks):
    """The owner of `authenticate`."""

    # Not `requires`: without the mailer nobody signs in anew, but who is signed in goes on.
    manifest = Manifest(
        name="auth",
        settings=AuthSettings,
        after=("audit", "mailer"),
        provides=("Codes", "SignIns", "UserDirectory"),
    )

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/auth."""
        return ROUTES

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return users, codes, sessions and API keys."""
        return [
            Collection(
                "users",
                indexes=(Index((("email", 1),), unique=True),),
                defaults={"email": ..., "name": "", "locale": "en", "platform_role": "user"},
            ),
            Collection(
                "otp_challenges",
                indexes=(Index((("email", 1),), unique=True), Index((("expires_at", 1),), ttl_s=0)),
                defaults={"challenge": "", "code_hash": ""},
            ),
            Collection(
                "sessions",
                indexes=(
                    Index((("refresh_hash", 1),), unique=True),
                    Index((("user_id", 1), ("_id", -1))),
                    Index((("expires_at", 1),), ttl_s=0),
                    REVOKED,
                ),
                defaults=NOBODYS | {"revoked_at": None, "expires_ms": 0, "device": "", "ip": ""},
            ),
            Collection(
                "api_keys",
                indexes=(Index((("prefix", 1),), unique=True), Index((("user_id", 1), ("_id", -1))), REVOKED),
                defaults=NOBODYS | {"hash": "", "scopes": [], "name": "", "last_used_at": None},
            ),
        ]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide accounts, codes and the user directory."""
        settings = ctx.settings(AuthSettings)
        tokens = Tokens(settings)
        self._accounts = AccountService(ctx, settings, tokens)
        ctx.provide(AccountService, self._accounts)
        self._keys = ApiKeyService(ctx, self._accounts)
        ctx.provide(ApiKeyService, self._keys)
        codes = OtpService(ctx, settings, tokens.pepper)
        ctx.provide(OtpService, codes)
        ctx.provide(SignIns, self._accounts)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        ctx.provide(Codes, codes)  # type: ignore[type-abstract]  # as above
        ctx.provide(UserDirectory, self._accounts)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        watch = RevocationWatch(ctx, {"sessions": self._accounts.memory, "api_keys": self._keys.memory})
        ctx.spawn(watch.run(), "revocations")
        yield
        await self._accounts.memory.close()
        await self._keys.memory.close()

    @hookimpl
    async def authenticate(self, ctx: PluginContext, credentials: Credentials) -> Actor | None:
        """Read the API key, or the token and its session."""
        key = key_shown(credentials)
        return await (self._keys.authenticate(key) if key else self._accounts.authenticate(credentials))
