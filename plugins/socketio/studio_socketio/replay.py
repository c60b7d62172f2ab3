"""What a client may have missed, for Socket.IO's connection state recovery.

Source: Socket.IO protocol 5, connection state recovery (server 4.6): a private session id in CONNECT, an
offset as last argument of every event, both sent back by a client that reconnects.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from engineio.packet import Packet  # type: ignore[import-untyped]  # it publishes no types

LOG_MESSAGES, LOG_BYTES, SESSIONS, KEPT_S = 5_000, 32_000_000, 10_000, 120.0


@dataclass(frozen=True, slots=True)
class LostSession:
    """A connection that ended and may come back: whose it was, what it heard, and how much of it for sure."""

    user_id: str
    session_id: str | None
    rooms: frozenset[str]
    offset: int
    """The newest offset when the connection began, for a client that never received one."""
    until: float


class Replay:
    """A bounded log of the last events, and the sessions that may ask for them within two minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._log: deque[tuple[int, str, Packet, int]] = deque()
        self._bytes = 0
        self._sessions: OrderedDict[str, LostSession] = OrderedDict()
        self.newest = 0
        self._oldest = 1

    def next_offset(self) -> int:
        """Return the offset of the next event; they rise by one per process."""
        return self.newest + 1

    def add(self, room: str, packet: Packet, size: int) -> None:
        """Keep an event that went to `room`, dropping the oldest beyond 5,000 events or 32 MB."""
        self.newest += 1
        self._log.append((self.newest, room, packet, size))
        self._bytes += size
        while len(self._log) > LOG_MESSAGES or self._bytes > LOG_BYTES:
            offset, _, _, gone = self._log.popleft()
            self._bytes -= gone
            self._oldest = offset + 1

    def keep(
        self, pid: str, user_id: str, session_id: str | None, rooms: frozenset[str], offset: int
    ) -> None:
        """Remember a connection that ended."""
        self._sessions[pid] = LostSession(user_id, session_id, rooms, offset, self._clock() + KEPT_S)
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)

    def forget(self, user_id: str, session_id: str | None) -> None:
        """Drop what a revoked session (or all of a user's) might ask for."""
        for pid, lost in list(self._sessions.items()):
            if lost.user_id == user_id and session_id in (None, lost.session_id):
                del self._sessions[pid]

    def take(self, pid: object, user_id: str, session_id: str | None) -> LostSession | None:
        """Return the session once, to its own user and session only, and not after two minutes."""
        lost = self._sessions.get(pid) if isinstance(pid, str) else None
        if lost is None or (lost.user_id, lost.session_id) != (user_id, session_id):
            return None
        del self._sessions[str(pid)]
        return lost if lost.until >= self._clock() else None

    def missed(self, rooms: frozenset[str], offset: object, default: int) -> list[tuple[Packet, int]] | None:
        """Return (packet, bytes) of what `rooms` got after `offset`; None if the log does not reach back."""
        after = default if offset is None else _number(offset)
        if after is None or not self._oldest - 1 <= after <= self.newest:
            return None
        return [(packet, size) for at, room, packet, size in self._log if at > after and room in rooms]


def _number(offset: object) -> int | None:
    good = isinstance(offset, str) and offset.isascii() and offset.isdigit() and len(offset) < 17  # noqa: PLR2004 - 2^53
    return int(str(offset)) if good else None
