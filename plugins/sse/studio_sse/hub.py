"""Who listens, what they may have missed, and how far behind they are."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, OrderedDict, defaultdict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson

from studio import RateLimitedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from studio import Message
    from studio_sse.settings import SseSettings

Key = tuple[str, str]
"""("user", user id) or ("room", room name)."""
LOG_MESSAGES, LOG_TARGETS = 200, 5_000
MAX_QUEUED, MAX_BYTES = 100, 1_000_000
HEARTBEAT_S, ABORT_S, RETRY_MS = 15.0, 0.5, 5_000


class Stream:
    """One connection: a bounded queue of bytes that are ready for the wire."""

    def __init__(
        self,
        keys: list[Key],
        session_id: str | None,
        transport: asyncio.BaseTransport | None,
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.keys, self.session_id = keys, session_id
        self.ended = False
        self._transport, self._heartbeat_s = transport, heartbeat_s
        self._at = dict.fromkeys(keys, 0)
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._woken = asyncio.Event()

    def reached(self, key: Key, seq: int) -> None:
        """Note the position without sending anything."""
        self._at[key] = seq

    def put_message(self, key: Key, seq: int, body: bytes) -> None:
        """Queue one event; its id is the position in every target of this stream. An older one is dropped."""
        if seq > self._at[key]:
            self._at[key] = seq
            self.put(b"id: " + self.position() + b"\n" + body)

    def put(self, chunk: bytes) -> None:
        """Queue bytes, or cut the connection when the client is too far behind."""
        if self.ended:
            return
        if len(self._queue) >= MAX_QUEUED or self._bytes + len(chunk) > MAX_BYTES:
            self._abort()
            return
        self._queue.append(chunk)
        self._bytes += len(chunk)
        self._woken.set()

    def position(self) -> bytes:
        """Return the numbers of all targets, the user's first."""
        return ".".join(str(seq) for seq in self._at.values()).encode()

    def end(self) -> None:
        """Finish what is queued and close; a client that does not read is cut after half a second."""
        if not self.ended:
            self.ended = True
            self._woken.set()
            asyncio.get_running_loop().call_later(ABORT_S, self._abort)

    def stop(self) -> None:
        """End, and ask the client to come back after a random time, so that not all return at once."""
        self.put(b"retry: %d\n\n" % random.randint(0, RETRY_MS))  # noqa: S311 - spreads load, keeps no secret
        self.end()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is queued, and a comment whenever nothing came for 15 s."""
        while True:
            while self._queue:
                chunk = self._queue.popleft()
                self._bytes -= len(chunk)
                yield chunk
            if self.ended:
                return
            self._woken.clear()
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await self._woken.wait()
            except TimeoutError:
                yield b": still here\n\n"

    def _abort(self) -> None:
        self.ended = True
        self._queue.clear()
        self._woken.set()
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


class EventHub:
    """The realtime transport `sse`."""

    name = "sse"

    def __init__(self, settings: SseSettings) -> None:
        self.settings = settings
        self._taken: Counter[str] = Counter()
        self._streams: defaultdict[Key, set[Stream]] = defaultdict(set)
        self._log: OrderedDict[Key, deque[tuple[int, bytes]]] = OrderedDict()

    @contextmanager
    def place_of(self, user_id: str) -> Iterator[None]:
        """Take a place for one stream of the user; raises RateLimitedError or UnavailableError for want of one."""
        if self._taken.total() >= self.settings.total:
            raise UnavailableError("There is no room for another stream.", retry_after=5)
        if self._taken[user_id] >= self.settings.per_user:
            detail = f"A user may have {self.settings.per_user} streams: close one."
            raise RateLimitedError(detail, code="too_many_connections", retry_after=5)
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]

    def open(self, stream: Stream, last_event_id: str) -> None:
        """Join the stream to its targets; fill the gap since `last_event_id`, or ask for a resync."""
        seen = _numbers(last_event_id, len(stream.keys))
        gap = bool(last_event_id) and seen is None
        for key, after in zip(stream.keys, seen or [None] * len(stream.keys), strict=True):
            log = self._log.get(key, deque())
            known = log[-1][0] if log else 0
            if after is None or not _continues(log, after):
                gap = gap or after is not None
                stream.reached(key, known)
                continue
            stream.reached(key, after)
            for seq, body in log:
                stream.put_message(key, seq, body)
        stream.put(b"id: " + stream.position() + b"\n\n")
        if gap:
            stream.put(b'event: resync\ndata: {"reason":"gap"}\n\n')
        for key in stream.keys:
            self._streams[key].add(stream)

    def forget(self, stream: Stream) -> None:
        """Remove a stream that has ended."""
        for key in stream.keys:
            self._streams[key].discard(stream)
            if not self._streams[key]:
                del self._streams[key]

    async def send(self, message: Message) -> None:
        """Encode once, keep the event for those who come back, and queue it for every stream."""
        key = (message.target, message.target_id)
        body = b"event: " + message.event.encode() + b"\ndata: " + orjson.dumps(message.wire) + b"\n\n"
        log = self._log.setdefault(key, deque(maxlen=LOG_MESSAGES))
        self._log.move_to_end(key)
        if log and message.seq != log[-1][0] + 1:
            log.clear()  # a jump: what lies before it cannot be continued
        log.append((message.seq, body))
        while len(self._log) > LOG_TARGETS:
            self._log.popitem(last=False)
        for stream in self._streams.get(key, ()):
            stream.put_message(key, message.seq, body)

    async def disconnect(self, user_id: str, *, session_id: str | None = None) -> None:
        """End the user's streams, of one session or all."""
        for stream in tuple(self._streams.get(("user", user_id), ())):
            if session_id in (None, stream.session_id):
                stream.end()

    async def close(self) -> None:
        """End every stream, asking each client to come back within 5 s."""
        for stream in self._all():
            stream.stop()

    def _all(self) -> Iterator[Stream]:
        yield from {stream for streams in self._streams.values() for stream in streams}


def _numbers(last_event_id: str, count: int) -> list[int | None] | None:
    parts = last_event_id.split(".")
    good = len(parts) == count and all(p.isascii() and p.isdigit() and len(p) < 17 for p in parts)  # noqa: PLR2004 - 2^53
    return [int(part) for part in parts] if good else None


def _continues(log: deque[tuple[int, bytes]], after: int) -> bool:
    """Return whether everything after number `after` is in the log."""
    if not log:
        return after == 0
    return log[0][0] - 1 <= after <= log[-1][0]
