"""Ends here what was revoked in another process, also when Redis did not carry the order."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from studio import StudioError, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import PluginContext
    from studio_auth.memory import ActorMemory

EVERY_S = 0.6
WINDOW_MS = 5_000
"""How far back each look goes: the clocks of two processes may differ, and a look may fail."""
SEEN = 10_000


class RevocationWatch:
    """Looks for newly revoked sessions and API keys, and cuts their connections; `clock` in UTC ms.

    Without a Redis configured there is no other process to hear of, and nothing is asked.
    """

    def __init__(
        self, ctx: PluginContext, memories: dict[str, ActorMemory], clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx = ctx
        self._memories = memories
        self._clock = clock
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Look for ever, every 0.6 s."""
        while self._ctx.cache.url:
            try:
                for collection in self._memories:
                    await self.look(collection)
            except StudioError as error:  # the database is away: so is whoever would revoke
                self._ctx.log.debug("revocations_unknown", error=repr(error))
            await asyncio.sleep(EVERY_S)

    async def look(self, collection: str) -> None:
        """Cut what was revoked lately in one collection, each once."""
        where = {"revoked_at": {"$gt": self._clock() - WINDOW_MS}}
        found = await self._ctx.database[collection].find(where, limit=SEEN, fields=("user_id",))
        for ended in found:
            if ended["_id"] not in self._seen:
                self._seen[ended["_id"]] = None
                self._memories[collection].forget_user(ended["user_id"])
                await self._ctx.realtime.disconnect(ended["user_id"], session_id=ended["_id"])
        while len(self._seen) > SEEN:
            self._seen.popitem(last=False)
