"""What was logged as an error, told to the plugins that listen: bounded, never waited for, never in a circle.

The log's thread puts records in, already redacted; the event loop tells them. A record that a listener has caused is
not told: it was logged while it was being told one, or under the name of its plugin.
"""

from __future__ import annotations

import time
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection

    from studio.model import Doc

WAITING, PER_S, BURST, LARGE = 200, 50.0, 200, 64_000
OWN = "_own"
"""The mark of a record that a listener has caused."""
telling: ContextVar[bool] = ContextVar("telling", default=False)


class ErrorFeed:
    """Told at most 200 errors at a time and 50 a second; what is more is counted in `dropped`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tell: Callable[[Doc], None], listeners: Collection[str]
    ) -> None:
        self.dropped = 0
        self._loop, self._tell, self._listeners = loop, tell, frozenset(listeners)
        self._queue: deque[Doc] = deque()
        self._left, self._at = float(BURST), time.monotonic()

    def put(self, record: Doc, size: int) -> None:
        """Hand a record over; called by the log's thread. `size` is the length of its line."""
        if record.pop(OWN, False) or record.get("source") in self._listeners:
            return
        if len(self._queue) >= WAITING or not self._allowed():
            self.dropped += 1
            return
        if size > LARGE:
            kept = ("at", "level", "event", "source", "exception")
            record = {name: record[name] for name in kept if name in record} | {"cut": True}
        self._queue.append(record)
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop has ended: nobody is there to hear it
            self._queue.clear()
            self.dropped += 1

    def _allowed(self) -> bool:
        now = time.monotonic()
        self._left, self._at = min(BURST, self._left + (now - self._at) * PER_S), now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _drain(self) -> None:
        token = telling.set(True)  # the listeners' tasks inherit it
        try:
            while self._queue:
                self._tell(self._queue.popleft())
        finally:
            telling.reset(token)
