"""One-time codes by mail: hashed, short-lived, few tries, used once; the newest per address is the one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from studio import (
    ConflictError,
    Doc,
    PluginContext,
    StudioError,
    UnauthenticatedError,
    new_id,
    now_ms,
)
from studio_mailer.api import Mails

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Repository
    from studio_auth.settings import AuthSettings

MAX_TRIES = 5


class OtpService:
    """Sends codes and checks them.

    `pepper` keys the hash, so that a stolen database gives no codes away; `clock` in UTC ms.
    """

    def __init__(
        self, ctx: PluginContext, settings: AuthSettings, pepper: bytes, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx = ctx
        self._settings = settings
        self._pepper = pepper
        self._clock = clock

    async def request_otp(self, email: str, ip: str) -> None:
        """Mail a code, unless one went out less than `otp_interval_s` ago; tells nobody which."""
        mails = self._ctx.service(Mails)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        challenge, code = new_id(), self._random_code()
        if not await self._replace(email, challenge, self._hash(challenge, code), ip):
            return
        minutes = -(-self._settings.otp_ttl_s // 60)
        try:
            await mails.send_now("otp", email, {"code": code, "minutes": minutes}, key=challenge)
        except StudioError:
            await self._challenges.delete({"email": email, "challenge": challenge})
            raise

    async def verify_otp(self, email: str, code: str) -> None:
        """Return when the code is the newest one sent to `email`.

        Raises UnauthenticatedError for any other reason, and never says for which.
        """
        found = await self._challenges.find_one({"email": email})
        # Counted before it is compared: of any number of tries at once only five are looked at.
        counted = await self._challenges.update(self._usable(email, found), {"$inc": {"attempts": 1}})
        challenge = found["challenge"] if found and counted else "nobody"
        wanted = found["code_hash"] if found and counted else ""
        good = hmac.compare_digest(self._hash(challenge, code), str(wanted))
        once = {"email": email, "challenge": challenge, "used": False}
        if not good or not await self._challenges.update(once, {"$set": {"used": True}}):
            raise UnauthenticatedError(
                "This code is not good, or no longer: ask for a new one.", code="otp_refused"
            )

    def _usable(self, email: str, found: Doc | None) -> Doc:
        """Return the filter for the challenge that was read, as long as it may be tried."""
        usable = {"used": False, "attempts": {"$lt": MAX_TRIES}, "expires_ms": {"$gt": self._clock()}}
        return {"email": email, "challenge": found["challenge"] if found else "nobody", **usable}

    async def _replace(self, email: str, challenge: str, code_hash: str, ip: str) -> bool:
        """Store the new challenge in place of the old, in one atomic step; False when that is too young."""
        now, settings = self._clock(), self._settings
        gone_s = max(settings.otp_ttl_s, settings.otp_interval_s)
        fields: Doc = {"challenge": challenge, "code_hash": code_hash, "attempts": 0, "used": False, "ip": ip}
        fields |= {"sent_ms": now, "expires_ms": now + settings.otp_ttl_s * 1000}
        fields["expires_at"] = datetime.fromtimestamp(now / 1000 + gone_s, UTC)
        old = {"email": email, "sent_ms": {"$lte": now - settings.otp_interval_s * 1000}}
        try:
            await self._challenges.update(old, {"$set": fields}, upsert=True)
        except ConflictError:  # the address has a challenge, and it is younger
            return False
        return True

    @property
    def _challenges(self) -> Repository:
        return self._ctx.database["otp_challenges"]

    def _random_code(self) -> str:
        digits = self._settings.otp_digits
        return f"{secrets.randbelow(10**digits):0{digits}d}"

    def _hash(self, challenge: str, code: str) -> str:
        return hmac.new(self._pepper, f"{challenge}:{code}".encode(), hashlib.sha256).hexdigest()
