"""Accounts and sessions. A session lives in the database; a process believes what it read for under a second."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from studio import (
    SYSTEM,
    Actor,
    ConflictError,
    Credentials,
    Doc,
    NotFoundError,
    Page,
    PluginContext,
    UnauthenticatedError,
    new_id,
    now_ms,
)
from studio_audit.api import audit, differences
from studio_auth.memory import ActorMemory, VerifiedTokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import PageQuery, Repository
    from studio_auth.models import UserUpdate
    from studio_auth.settings import AuthSettings
    from studio_auth.tokens import Tokens

COOKIE = "studio_session"


class AccountService:
    """Users and their sessions; implements `studio_projects.api.UserDirectory`. `clock` in UTC ms."""

    def __init__(
        self, ctx: PluginContext, settings: AuthSettings, tokens: Tokens, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx = ctx
        self._settings = settings
        self._tokens = tokens
        self._clock = clock
        self._verified = VerifiedTokens(tokens, clock)
        self.memory = ActorMemory(self._actor_of)

    # ------------------------------------------------------------ who is it

    async def authenticate(self, credentials: Credentials) -> Actor | None:
        """Return the actor of a Bearer token or of the console's cookie."""
        scheme, _, token = (credentials.authorization or "").partition(" ")
        if credentials.authorization is None:
            token = credentials.cookies.get(COOKIE, "")
        elif scheme.lower() != "bearer":
            return None
        token = token.strip()
        claims = self._verified.read(token) if token else None
        if claims is None:
            return None
        actor = self.memory.recall(claims.session_id) or await self.memory.ask(claims.session_id)
        if actor is None:
            self._verified.forget(token)
        return actor if actor and actor.user_id == claims.user_id else None

    async def _actor_of(self, session_id: str) -> Actor | None:
        session = await self._sessions.find_one(
            {"_id": session_id, "revoked_at": None, "expires_ms": {"$gt": self._clock()}}
        )
        user = await self.user(session["user_id"]) if session else None
        if user is None:
            return None
        role = self.platform_role(user)
        return Actor(user["_id"], session_id=session_id, platform_role=role, name=_name(user))

    def platform_role(self, user: Doc) -> Literal["admin", "user"]:
        """Return a user's role on the platform; what is not known is no admin."""
        return "admin" if user.get("platform_role") == "admin" else "user"

    async def user(self, user_id: str) -> Doc | None:
        """Return an active user."""
        return await self._users.find_one({"_id": user_id, "status": "active"})

    async def user_by_email(self, email: str) -> Doc | None:
        """Return the active user with this address, whatever its case."""
        return await self._users.find_one({"email": email.lower(), "status": "active"})

    # ------------------------------------------------------------ sign in, refresh, sign out

    async def sign_in(self, email: str, device: str, ip: str) -> Doc:
        """Open a session for the owner of `email`, whose account is made at the first sign-in."""
        user = await self.user_by_email(email) or await self._create_user(email)
        if email in self._settings.admins and user.get("platform_role") != "admin":
            promoted = {"$set": {"platform_role": "admin"}}
            user = await self._users.find_and_update({"_id": user["_id"]}, promoted) or user
            await audit(self._ctx, SYSTEM, "account.promoted", ("user", user["_id"]), after=promoted["$set"])
        return await self._open(user, device, ip)

    async def _create_user(self, email: str) -> Doc:
        first = self._ctx.config.environment == "development" and not await self._users.count({})
        role = "admin" if first else "user"
        user = {"_id": new_id(), "email": email, "name": "", "locale": "en", "status": "active"}
        try:
            made = await self._users.insert(user | {"platform_role": role})
        except ConflictError:  # somebody else made it just now, or it is there and not active
            found = await self.user_by_email(email)
            if found is None:
                raise _suspended() from None
            return found
        who = Actor(made["_id"], name=_name(made))
        await audit(self._ctx, who, "account.created", ("user", made["_id"]), after={"platform_role": role})
        return made

    async def _open(self, user: Doc, device: str, ip: str) -> Doc:
        session_id, now = new_id(), self._clock()
        refresh = self._tokens.issue_refresh(session_id)
        expires = now + self._settings.refresh_ttl_s * 1000
        session = {"_id": session_id, "user_id": user["_id"], "device": device[:200], "ip": ip}
        session |= {"refresh_hash": _hash(refresh), "last_seen_at": now, "expires_ms": expires}
        session |= {"revoked_at": None, "expires_at": datetime.fromtimestamp(expires / 1000, UTC)}
        await self._sessions.insert(session)
        who = Actor(user["_id"], session_id=session_id, name=_name(user))
        opened = {"device": session["device"], "ip": ip}
        await audit(self._ctx, who, "session.opened", ("session", session_id), after=opened)
        return self._pair(user, session_id, refresh)

    def _pair(self, user: Doc, session_id: str, refresh: str) -> Doc:
        return {
            "access_token": self._tokens.issue(user["_id"], session_id),
            "refresh_token": refresh,
            "expires_in": self._settings.access_ttl_s,
            "user": user,
        }

    async def refresh(self, token: str) -> Doc:
        """Trade a refresh token for a new pair; any older one of the session ends the session.

        The one before the newest gets, for `refresh_grace_s`, the pair that its owner may not have received.
        Raises UnauthenticatedError.
        """
        session_id = self._tokens.session_of(token)
        if session_id is None:
            raise _refresh_refused()
        fresh = self._tokens.next_refresh(session_id, token)
        rotated = await self._rotate(session_id, _hash(token), _hash(fresh))
        session = await self._sessions.get(session_id)
        if session is None or not (rotated or self._in_grace(session, token)):
            # We made this token. In a session that lives two hold it, and one of them is a thief.
            lives = session is not None and session["expires_ms"] > self._clock()
            await self._end({"_id": session_id}, "session.reused" if lives else "session.ended")
            raise _refresh_refused()
        user = await self.user(session["user_id"])
        if user is None:
            raise _suspended()
        return self._pair(user, session_id, fresh)

    async def _rotate(self, session_id: str, old: str, new: str) -> bool:
        now = self._clock()
        where: Doc = {"_id": session_id, "refresh_hash": old, "revoked_at": None, "expires_ms": {"$gt": now}}
        change = {"refresh_hash": new, "previous_hash": old, "rotated_ms": now, "last_seen_at": now}
        return bool(await self._sessions.update(where, {"$set": change}))

    def _in_grace(self, session: Doc, token: str) -> bool:
        now = self._clock()
        return (
            session["revoked_at"] is None
            and session["expires_ms"] > now
            and session.get("previous_hash") == _hash(token)
            and now - session["rotated_ms"] <= self._settings.refresh_grace_s * 1000
        )

    async def revoke(self, user_id: str, session_id: str) -> None:
        """End one session and its open sockets; raises NotFoundError for another user's."""
        if not await self._end({"_id": session_id, "user_id": user_id}):
            raise NotFoundError

    async def sign_out(self, actor: Actor) -> None:
        """End the actor's own session; once more is no error."""
        if actor.session_id:
            await self._end({"_id": actor.session_id, "user_id": actor.user_id})

    async def _end(self, where: Doc, action: str = "session.ended") -> bool:
        ended = await self._sessions.update(
            {**where, "revoked_at": None}, {"$set": {"revoked_at": self._clock()}}
        )
        self.memory.forget(where["_id"])
        session = await self._sessions.get(where["_id"]) if ended else None
        if session is not None:
            await self._ctx.realtime.disconnect(session["user_id"], session_id=session["_id"])
            await audit(self._ctx, Actor(session["user_id"]), action, ("session", session["_id"]))
        return bool(ended)

    async def revoke_all(self, user_id: str) -> None:
        """End every session of a user and all open sockets."""
        alive = {"user_id": user_id, "revoked_at": None}
        await self._sessions.update(alive, {"$set": {"revoked_at": self._clock()}}, many=True)
        self.memory.forget_user(user_id)
        await self._ctx.realtime.disconnect(user_id)
        await audit(self._ctx, Actor(user_id), "session.ended_all", ("user", user_id))

    async def end_others(self, actor: Actor) -> None:
        """End all sessions of the actor but the one that calls, and their open sockets."""
        alive = {"user_id": actor.user_id, "revoked_at": None}
        for session in await self._sessions.find(alive, fields=("user_id",)):
            if session["_id"] != actor.session_id:
                await self._end({"_id": session["_id"]})

    # ------------------------------------------------------------ the caller's own things

    async def get_me(self, actor: Actor) -> Doc:
        """Return the caller's account."""
        user = await self.user(actor.user_id)
        if user is None:
            raise UnauthenticatedError
        return user

    async def update_me(self, actor: Actor, body: UserUpdate) -> Doc:
        """Change the caller's account."""
        changes: dict[str, Any] = body.model_dump(exclude_unset=True, exclude_none=True)
        before = await self.get_me(actor)
        if not changes:
            return before
        mine = {"_id": actor.user_id, "status": "active"}
        user = await self._users.find_and_update(mine, {"$set": changes}) or await self.get_me(actor)
        changed = differences(before, user, changes)
        await audit(self._ctx, actor, "account.changed", ("user", actor.user_id), **changed)
        return user

    async def list_sessions(self, actor: Actor, query: PageQuery) -> Page:
        """Return a page of the caller's sessions that are still good, newest first."""
        where = {"user_id": actor.user_id, "revoked_at": None, "expires_ms": {"$gt": self._clock()}}
        page = await self._sessions.page(where, cursor=query.cursor, limit=query.limit, newest_first=True)
        items = [session | {"current": session["_id"] == actor.session_id} for session in page.items]
        return Page(items, page.next_cursor)

    @property
    def _users(self) -> Repository:
        return self._ctx.database["users"]

    @property
    def _sessions(self) -> Repository:
        return self._ctx.database["sessions"]


def _suspended() -> UnauthenticatedError:
    return UnauthenticatedError("This account is suspended.", code="account_suspended")


def _refresh_refused() -> UnauthenticatedError:
    return UnauthenticatedError(
        "This refresh token is not good any more: sign in again.", code="refresh_refused"
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _name(user: Doc) -> str:
    return str(user.get("name") or user["email"].partition("@")[0])
