"""What a person has to look at: charges of unknown size, and holds that nobody settles."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from studio import ConflictError
from studio_usage.collections import FLAGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Database, Page
    from studio_usage.ledger import Attempt


class Flags:
    """One flag for each attempt, raised once; a lowered one stays as a memory."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._flags, self._clock = database[FLAGS], clock

    async def raise_flag(self, known: Attempt, reason: str, note: str = "") -> None:
        """Flag an attempt, if it was not before."""
        if await self._flags.get(known.key) is not None:
            return
        about = known.hold or known.rows.get("capture") or {}
        names = ("project_id", "user_id", "provider", "model", "job_kind")
        flag = {name: about.get(name) for name in names}
        flag |= {"_id": known.key, "job_id": known.job_id, "attempt": known.attempt, "reason": reason}
        flag |= {"held_uusd": known.open_uusd, "note": note, "at": self._clock(), "open": True}
        with suppress(ConflictError):
            await self._flags.insert(flag)

    async def lower(self, key: str) -> None:
        """Take the flag down: the attempt is settled."""
        await self._flags.update({"_id": key, "open": True}, {"$set": {"open": False}})

    async def page(self, cursor: str | None, limit: int) -> Page:
        """Return a page of what is flagged, in no order of time."""
        return await self._flags.page({"open": True}, cursor=cursor, limit=limit)

    async def count(self) -> int:
        """Count what is flagged."""
        return await self._flags.count({"open": True})
