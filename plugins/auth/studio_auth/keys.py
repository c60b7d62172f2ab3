"""API keys: shown once, kept as a hash, good for named scopes, and never for making more of themselves."""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
import secrets
import string
from typing import TYPE_CHECKING

from studio import (
    SIGNED_IN,
    Actor,
    ConflictError,
    Doc,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    Page,
    PluginContext,
    new_id,
    now_ms,
)
from studio_audit.api import audit
from studio_auth.memory import ActorMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Credentials, PageQuery, Repository
    from studio_auth.models import ApiKeyCreate
    from studio_auth.service import AccountService

SCHEME = "bearer stk_"
SHAPE = re.compile(r"stk_([0-9A-Za-z]{10})_[0-9A-Za-z]{43}")
LETTERS = string.ascii_letters + string.digits
KEYS_PER_USER = 50
USED_EVERY_MS = 300_000
"""How exactly `last_used_at` is kept: a write per call would cost more than the call."""
DAY_MS = 86_400_000


def key_shown(credentials: Credentials) -> str | None:
    """Return the API key of `Authorization: Bearer stk_…`, None where something else is shown."""
    shown = credentials.authorization
    return shown[7:].strip() if shown and shown[: len(SCHEME)].lower() == SCHEME else None


class ApiKeyService:
    """Makes, checks and revokes API keys; `clock` in UTC ms."""

    def __init__(
        self, ctx: PluginContext, accounts: AccountService, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx = ctx
        self._accounts = accounts
        self._clock = clock
        self.memory = ActorMemory(self._actor_of)

    async def authenticate(self, key: str) -> Actor | None:
        """Return who a key acts for, with its scopes; believed for 0.8 s, as a session is."""
        if not SHAPE.fullmatch(key):
            return None
        name = f"{_prefix(key)}.{_hash(key)}"
        return self.memory.recall(name) or await self.memory.ask(name)

    async def _actor_of(self, name: str) -> Actor | None:
        prefix, _, digest = name.partition(".")
        now = self._clock()
        found = await self._keys.find_one({"prefix": prefix, "revoked_at": None, "expires_at": {"$gt": now}})
        if found is None or not hmac.compare_digest(str(found["hash"]), digest):
            return None
        user = await self._accounts.user(found["user_id"])
        if user is None or not found["scopes"]:  # to an Actor no scopes would mean all
            return None
        if now - (found["last_used_at"] or 0) >= USED_EVERY_MS:
            self._ctx.spawn(self._used(found["_id"], now), "api_key_used")
        role = self._accounts.platform_role(user)
        scopes = frozenset(found["scopes"])
        return Actor(user["_id"], "api_key", found["_id"], role, scopes, found["name"])

    async def _used(self, key_id: str, now: int) -> None:
        await self._keys.update(key_id, {"$set": {"last_used_at": now}})

    async def create_api_key(self, actor: Actor, body: ApiKeyCreate) -> Doc:
        """Return the new key with its secret under `key`: nobody ever sees that again.

        Raises ForbiddenError for a platform right that the actor lacks, InvalidInputError for an unknown scope,
        ConflictError beyond 50 keys. Rights in projects are asked at each use: a key has what its owner has then.
        """
        for scope in body.scopes:
            await self._check_scope(actor, scope)
        now = self._clock()
        alive = {"user_id": actor.user_id, "revoked_at": None, "expires_at": {"$gt": now}}
        if await self._keys.count(alive) >= KEYS_PER_USER:
            raise ConflictError(f"You have {KEYS_PER_USER} API keys: delete one first.", code="too_many_keys")
        prefix, secret = _random(10), _random(43)
        key = f"stk_{prefix}_{secret}"
        document: Doc = {"_id": new_id(), "user_id": actor.user_id, "name": body.name, "prefix": prefix}
        document |= {"hash": _hash(key), "scopes": sorted(set(body.scopes)), "last_used_at": None}
        document |= {"expires_at": now + body.expires_in_days * DAY_MS, "revoked_at": None}
        stored = await self._keys.insert(document)
        told = {name: document[name] for name in ("name", "scopes", "expires_at")}
        await audit(self._ctx, actor, "api_key.created", ("api_key", document["_id"]), after=told)
        return stored | {"key": key}

    async def _check_scope(self, actor: Actor, scope: str) -> None:
        if scope == SIGNED_IN:
            return
        permission = self._ctx.permissions.get(scope)
        if permission is None:
            near = difflib.get_close_matches(scope, [*self._ctx.permissions, SIGNED_IN], n=1)
            hint = f", did you mean {near[0]}?" if near else ": see GET /api/rbac/permissions"
            errors = [{"pointer": "/scopes", "message": f"{scope[:100]} is no scope{hint}"}]
            raise InvalidInputError("The body is wrong.", errors=errors)
        if permission.scope == "platform":
            await self._ctx.auth.require(actor, scope)

    async def list_api_keys(self, actor: Actor, query: PageQuery) -> Page:
        """Return a page of the actor's keys that are not revoked, newest first; expired ones say so by their date."""
        where = {"user_id": actor.user_id, "revoked_at": None}
        return await self._keys.page(where, cursor=query.cursor, limit=query.limit, newest_first=True)

    async def revoke_api_key(self, actor: Actor, key_id: str) -> None:
        """End a key and its open sockets; raises NotFoundError for another user's."""
        where = {"_id": key_id, "user_id": actor.user_id, "revoked_at": None}
        if not await self._keys.update(where, {"$set": {"revoked_at": self._clock()}}):
            raise NotFoundError
        self.memory.forget_user(actor.user_id)
        await self._ctx.realtime.disconnect(actor.user_id, session_id=key_id)
        await audit(self._ctx, actor, "api_key.revoked", ("api_key", key_id))

    @property
    def _keys(self) -> Repository:
        return self._ctx.database["api_keys"]


def refuse_keys(actor: Actor) -> None:
    """Raise ForbiddenError for an API key: what decides over sign-ins and keys takes a person."""
    if actor.kind == "api_key":
        raise ForbiddenError("An API key cannot do this: sign in.", code="api_key_refused")


def _random(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def _prefix(key: str) -> str:
    return key.split("_", 2)[1]


def _hash(key: str) -> str:
    """Return the SHA-256: the secret has 256 random bits, so there is nothing to guess slowly."""
    return hashlib.sha256(key.encode()).hexdigest()
