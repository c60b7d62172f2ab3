"""`publish` to a user or a room; the transports (Socket.IO, SSE, Centrifugo) are plugins. No caller waits."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import orjson

from studio.boundary import contained
from studio.model import new_id, now_ms
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from studio.cache import Cache

CHANNEL, LANE_LIMIT, SEND_S, FLUSH_S = "realtime", 200, 2.0, 2.0
SEQ_TTL_S, SEQ_FLOOR, SEQ_KEPT = 30 * 86_400, 1_600_000_000_000, 100_000
log = get_logger("studio.realtime")


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of event that a plugin may publish; undeclared names are refused."""

    name: str
    title: str
    legacy: bool = False
    """Kept for the existing front end: Socket.IO carries it even when another transport is the main one."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way. `seq` rises by one per user (or room), never repeats; a jump means: fetch."""

    target: Literal["user", "room"]
    target_id: str
    event: str
    data: dict[str, Any]
    seq: int

    @property
    def wire(self) -> dict[str, Any]:
        """The one object that a client gets."""
        return {**self.data, "seq": self.seq}


class RealtimeTransport(Protocol):
    """Carries messages to connected clients. `send` must not block: it queues, or cuts a slow client.

    A transport that reaches every client from any process sets `shared = True`, else each process sends to
    its own connections. `async close()`, if there is one, ends all connections at the stop. With
    `succeeds = "socketio"` it takes over the new events, and the transport of that name keeps the legacy ones.
    """

    name: str

    async def send(self, message: Message) -> None:
        """Queue `message` for every connection of its target."""
        ...

    async def disconnect(self, user_id: str, *, session_id: str | None = None) -> None:
        """Close the user's connections (of one session, or all)."""
        ...


class _Lanes:
    """Bounded queues, one per key: in order within a key, side by side between keys."""

    def __init__(self, handle: Callable[[Any, Any], Awaitable[None]]) -> None:
        self._handle = handle
        self._lanes: dict[Hashable, deque[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, key: Hashable, item: Any) -> bool:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = deque()
            task = asyncio.get_running_loop().create_task(self._run(key, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(lane) >= LANE_LIMIT:
            return False
        lane.append(item)
        return True

    async def _run(self, key: Hashable, lane: deque[Any]) -> None:
        try:
            while lane:
                await self._handle(key, lane.popleft())
        finally:
            del self._lanes[key]

    async def idle(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)


class Realtime:
    """Numbers every message per target and hands it to all transports, here and in the other processes."""

    def __init__(self, cache: Cache, events: Mapping[str, Event]) -> None:
        self.transports: list[RealtimeTransport] = []
        self.dropped = 0
        self.events = events
        self._cache = cache
        self._origin = new_id()
        self._last: dict[tuple[str, str], int] = {}
        self._skipped: dict[Hashable, int] = {}
        self._numbering = _Lanes(self._number)
        self._sending = _Lanes(self._send)
        self._listener: asyncio.Task[None] | None = None

    def publish(self, user_id: str, event: str, data: dict[str, Any]) -> None:
        """Send to every tab and device of the user; raises ValueError on an undeclared event."""
        self._put(("user", user_id), event, data)

    def publish_room(self, room: str, event: str, data: dict[str, Any]) -> None:
        """Send to whoever joined `room`, e.g. "project:<id>"; raises ValueError on an undeclared event."""
        self._put(("room", room), event, data)

    async def disconnect(self, user_id: str, session_id: str | None = None) -> None:
        """Close the user's connections (of one session, or all) in every process."""
        order = {"origin": self._origin, "disconnect": [user_id, session_id]}
        await asyncio.gather(
            self._cut(user_id, session_id), self._cache.publish(CHANNEL, orjson.dumps(order))
        )

    async def flush(self) -> None:
        """Return when everything published so far was handed to the transports."""
        await self._numbering.idle()
        await self._sending.idle()

    async def start(self) -> None:
        """Listen to the other processes; without Redis there are none."""
        self._listener = asyncio.create_task(self._listen(), name="realtime")

    async def stop(self) -> None:
        """Send what is queued within 2 s, then close every transport."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self.flush()
        for transport in self.transports:
            if close := getattr(transport, "close", None):
                await self._isolated(transport, close())
        self.transports.clear()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    def _put(self, key: tuple[str, str], event: str, data: dict[str, Any]) -> None:
        if event not in self.events:
            raise ValueError(
                f"event {event!r} is not declared: return Event({event!r}, …) from register_events"
            )
        if not self._numbering.put(key, (event, data)):
            self.dropped += 1
            self._skipped[key] = self._skipped.get(key, 0) + 1

    async def _number(self, key: Any, item: tuple[str, dict[str, Any]]) -> None:
        seq = await self._seq(key, 1 + self._skipped.pop(key, 0))
        message = Message(key[0], key[1], item[0], item[1], seq)
        self._deliver(message, own=True)
        with suppress(TypeError):  # what JSON cannot carry, the transports report
            await self._cache.publish(CHANNEL, orjson.dumps({"origin": self._origin, **asdict(message)}))

    async def _seq(self, key: tuple[str, str], by: int) -> int:
        """Count in Redis; when that is away or has lost its data, go on from here, never backwards."""
        name, last = "seq:{}:{}".format(*key), self._last.get(key)
        least = now_ms() if last is None else last + by
        seq = await self._cache.incr(name, by, SEQ_TTL_S)
        if seq is None:
            seq = least
        elif seq < (SEQ_FLOOR if last is None else least):
            seq = max(least, await self._cache.incr(name, least - seq) or 0)
        if len(self._last) >= SEQ_KEPT:
            self._last.clear()
        self._last[key] = seq
        return seq

    def _deliver(self, message: Message, *, own: bool) -> None:
        for transport in self.transports:
            here = own or not getattr(transport, "shared", False)
            if here and self._carries(transport, message.event):
                lane = (transport.name, message.target, message.target_id)
                if not self._sending.put(lane, (transport, message)):
                    self.dropped += 1

    def _carries(self, transport: RealtimeTransport, event: str) -> bool:
        """Return whether the event is for this transport: a client that has both gets none of them twice."""
        legacy = event in self.events and self.events[event].legacy
        if getattr(transport, "succeeds", None) in {other.name for other in self.transports}:
            return not legacy
        succeeded = {getattr(other, "succeeds", None) for other in self.transports}
        return legacy or transport.name not in succeeded

    async def _send(self, _: Any, item: tuple[RealtimeTransport, Message]) -> None:
        await self._isolated(item[0], item[0].send(item[1]))

    async def _cut(self, user_id: str, session_id: str | None) -> None:
        await asyncio.gather(
            *(self._isolated(t, t.disconnect(user_id, session_id=session_id)) for t in self.transports)
        )

    async def _isolated(self, transport: RealtimeTransport, work: Awaitable[None]) -> None:
        with contained() as failed:  # a plugin's transport: the others go on
            async with asyncio.timeout(SEND_S):
                await work
        if failed.error:
            log.warning("transport_failed", transport=transport.name, error=repr(failed.error))

    async def _listen(self) -> None:
        async for raw in self._cache.subscribe(CHANNEL):
            try:
                order = orjson.loads(raw)
                if order.pop("origin") == self._origin:
                    continue
                if "disconnect" in order:
                    await self._cut(*order["disconnect"])
                else:
                    self._deliver(Message(**order), own=False)
            except (ValueError, TypeError, KeyError, AttributeError):
                log.warning("foreign_message_ignored", channel=CHANNEL)
