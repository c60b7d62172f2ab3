"""Passwords: set with a proof, changed with a proof, tried a few times per address."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from studio import (
    Actor,
    ConflictError,
    Doc,
    InvalidInputError,
    PluginContext,
    RateLimitedError,
    UnauthenticatedError,
    now_ms,
)
from studio_audit.api import audit
from studio_auth.api import Codes, SignIns

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from studio import Repository
    from studio_password.hashing import Hashing
    from studio_password.models import PasswordProof, PasswordUpdate
    from studio_password.settings import PasswordSettings

DISTINCT = 5
"""Fewer different characters are no password, however many of them."""


class PasswordService:
    """Signs in by password; `nobody` is the hash that an unknown address is checked against; `clock` in UTC ms."""

    def __init__(
        self,
        ctx: PluginContext,
        settings: PasswordSettings,
        hashing: Hashing,
        nobody: str,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._ctx = ctx
        self._settings = settings
        self._hashing = hashing
        self._nobody = nobody
        self._clock = clock

    async def log_in(self, email: str, password: SecretStr, device: str, ip: str) -> Doc:
        """Open a session. An unknown address costs what a known one does, and reads the same.

        Raises UnauthenticatedError, and RateLimitedError after too many wrong passwords for the address.
        """
        user = await self._sign_ins.user_by_email(email)
        if not await self._is_right(email, user["_id"] if user else "", password):
            raise UnauthenticatedError("Address or password are not good.", code="password_refused")
        return await self._sign_ins.sign_in(email, device, ip)

    async def get_password(self, actor: Actor) -> Doc:
        """Return whether the actor has a password, and since when."""
        stored = await self._passwords.get(actor.user_id)
        return {"is_set": stored is not None, "changed_at": stored and stored["changed_at"]}

    async def set_password(self, actor: Actor, body: PasswordUpdate) -> None:
        """Set or change the password, and end all other sessions.

        Raises UnauthenticatedError, InvalidInputError.
        """
        user = await self._proved(actor, body)
        password = body.password.get_secret_value()
        self._check_strength(password, user["email"])
        fields = {"hash": await self._hashing.hash(password), "changed_at": self._clock()}
        await self._passwords.update(actor.user_id, {"$set": fields}, upsert=True)
        await self._sign_ins.end_others(actor)
        await audit(self._ctx, actor, "password.set", ("user", actor.user_id))

    async def delete_password(self, actor: Actor, body: PasswordProof) -> None:
        """Go back to codes only. Raises UnauthenticatedError."""
        await self._proved(actor, body)
        await self._passwords.delete(actor.user_id)
        await audit(self._ctx, actor, "password.removed", ("user", actor.user_id))

    async def _proved(self, actor: Actor, proof: PasswordProof) -> Doc:
        user = await self._sign_ins.user(actor.user_id)
        if user is None:
            raise UnauthenticatedError
        if proof.code is not None:
            await self._ctx.service(Codes).verify_otp(user["email"], proof.code)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        elif not proof.current_password or not await self._is_right(
            user["email"], actor.user_id, proof.current_password
        ):
            raise UnauthenticatedError("The current password is not good.", code="password_refused")
        return user

    async def _is_right(self, email: str, user_id: str, password: SecretStr) -> bool:
        """Count the try, then compare; a right one forgets the count."""
        await self._count(email)
        stored = await self._passwords.get(user_id)
        plain, kept = password.get_secret_value(), stored["hash"] if stored else self._nobody
        if not await self._hashing.verify(kept, plain) or stored is None:
            return False
        await self._tries.delete(_key(email))
        if self._hashing.is_old(kept):
            fresh = await self._hashing.hash(plain)
            await self._passwords.update({"_id": user_id, "hash": kept}, {"$set": {"hash": fresh}})
        return True

    async def _count(self, email: str) -> None:
        """Count before it is compared, known or not: of any number at once only `tries` are looked at."""
        now, key, settings = self._clock(), _key(email), self._settings
        open_window = {"_id": key, "until_ms": {"$gt": now}, "tries": {"$lt": settings.tries}}
        if await self._tries.update(open_window, {"$inc": {"tries": 1}}):
            return
        until = now + settings.window_s * 1000
        fields: Doc = {"tries": 1, "until_ms": until, "expires_at": datetime.fromtimestamp(until / 1000, UTC)}
        try:
            await self._tries.update({"_id": key, "until_ms": {"$lte": now}}, {"$set": fields}, upsert=True)
        except ConflictError:  # the window is open, and its tries are used up
            if not await self._tries.update(open_window, {"$inc": {"tries": 1}}):
                await self._refuse(key, now)

    async def _refuse(self, key: str, now: int) -> None:
        window = await self._tries.get(key)
        wait_s = max(1, -(-(window["until_ms"] - now) // 1000)) if window else 1
        raise RateLimitedError(
            "Too many wrong passwords for this address: wait, or sign in by a code.", retry_after=wait_s
        )

    def _check_strength(self, password: str, email: str) -> None:
        least = self._settings.min_length
        if len(password) < least:
            problem = f"must have at least {least} characters"
        elif len(set(password)) < DISTINCT or password.lower() in (email, email.partition("@")[0]):
            problem = "is too easy to guess"
        else:
            return
        errors = [{"pointer": "/password", "message": problem}]
        raise InvalidInputError(f"The password {problem}.", errors=errors)

    @property
    def _sign_ins(self) -> SignIns:
        return self._ctx.service(SignIns)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    @property
    def _passwords(self) -> Repository:
        return self._ctx.database["passwords"]

    @property
    def _tries(self) -> Repository:
        return self._ctx.database["password_tries"]


def _key(email: str) -> str:
    """Return the id of an address's tries: not the address, which may be nobody's here."""
    return hashlib.sha256(email.lower().encode()).hexdigest()
