"""Watches the server's connections. aiohttp gives none a deadline: of 300 idle or half-sent ones 0 closed in 45 s."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web
    from aiohttp.web_protocol import RequestHandler
    from aiohttp.web_server import Server

HEADER_DEADLINE_S, READ_DEADLINE_S = 10.0, 30.0
DRAIN_S, FRESH_S, LOOK_S = 1.0, 0.25, 0.01
MOST_WAITING = 1024
"""As many as the system keeps for us before they are accepted."""


async def close_silent(
    server: Server,
    deadline_s: float = HEADER_DEADLINE_S,
    every_s: float = 1.0,
    read_deadline_s: float = READ_DEADLINE_S,
) -> None:
    """Close, for ever, connections whose client makes no headway; run it as a task.

    That is one that has not sent a whole first request head within `deadline_s`, sent no byte of a body that
    we wait for in 1.3 times as long (most bodies have their own deadline, which answers 408), or read no byte
    of an answer for `read_deadline_s`.
    """
    limits = {"head": deadline_s, "body": 1.3 * deadline_s, "read": read_deadline_s}
    clock = asyncio.get_running_loop().time
    seen: dict[RequestHandler, tuple[tuple[str, int], float]] = {}
    while True:
        now, before = clock(), seen
        seen = {}
        for connection in server.connections:
            if (owed := _owed(connection)) is None:
                continue
            last, since = before.get(connection, (owed, now))
            seen[connection] = (owed, since if last == owed else now)
            if last == owed and now - since >= limits[owed[0]]:
                _cut(connection)
        await asyncio.sleep(every_s)


def _owed(connection: RequestHandler) -> tuple[str, int] | None:
    """Return what the client has to go on with, and how far it is; None when it is not its turn.

    aiohttp has no public way to see any of it; tests pin the private names.
    """
    if not connection._request_count:  # noqa: SLF001 - see above
        return "head", 0
    if (transport := connection.transport) is None:
        return None
    if waiting := transport.get_write_buffer_size():
        return "read", waiting
    request = connection._current_request  # noqa: SLF001 - see above
    if request is None or request.content.is_eof() or connection._reading_paused:  # noqa: SLF001 - see above
        return None
    return "body", request.content.total_bytes


def _cut(connection: RequestHandler) -> None:
    transport = connection.transport
    connection.force_close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()  # closing alone would wait for a client that reads nothing


def limit_connections(server: Server, most: int, of_one: int, exempt: Callable[[str], bool]) -> None:
    """Refuse connections beyond `most`, or beyond `of_one` from an address that is not `exempt`."""
    open_: Counter[str] = Counter()
    made, lost = server.connection_made, server.connection_lost

    def connection_made(handler: RequestHandler, transport: asyncio.Transport) -> None:
        made(handler, transport)
        open_[address := handler.peername[0] if handler.peername else ""] += 1
        if len(server.connections) > most or (open_[address] > of_one and not exempt(address)):
            transport.abort()

    def connection_lost(handler: RequestHandler, exc: BaseException | None = None) -> None:
        lost(handler, exc)
        open_[address := handler.peername[0] if handler.peername else ""] -= 1
        if not open_[address]:
            del open_[address]

    server.connection_made, server.connection_lost = connection_made, connection_lost  # type: ignore[method-assign]  # aiohttp gives no other place to count them


async def drain(server: Server, limit_s: float = DRAIN_S) -> None:
    """Make every answer from now on the last of its connection; return when all have left, or after `limit_s`.

    aiohttp alone closes connections behind an answer that said nothing of it: the next request on them is lost.
    Source: RFC 9112, 9.6.
    """
    make = server.request_factory

    def make_last(message: Any, *rest: Any) -> Any:
        return make(message._replace(should_close=True), *rest)

    server.request_factory = make_last
    for connection in server.connections:
        connection._request_factory = make_last  # noqa: SLF001 - as for `_owed`: tests pin the private names
        if (request := connection._current_request) is not None:  # noqa: SLF001 - as above
            request._message = request._message._replace(should_close=True)  # noqa: SLF001 - as above
            request._cache.pop("keep_alive", None)  # noqa: SLF001 - as above
    await _until(lambda: not server.connections, limit_s)


async def stop_listening(site: web.SockSite, listener: socket.socket, server: Server) -> None:
    """Close the port without a reset: who is connected and not accepted yet is taken in, and gets its answer."""
    loop, waiting = asyncio.get_running_loop(), list[socket.socket]()
    listener.setblocking(False)  # noqa: FBT003 - its only form
    with suppress(OSError):  # nobody waits any more
        while len(waiting) < MOST_WAITING:
            waiting.append(listener.accept()[0])
    await site.stop()
    for one in waiting:
        with suppress(OSError):  # it has gone away again
            await loop.connect_accepted_socket(server, one)
    await _until(lambda: all(one._request_count for one in server.connections), FRESH_S)  # noqa: SLF001 - as above


async def _until(done: Callable[[], bool], limit_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while not done():  # noqa: ASYNC110 - aiohttp tells nobody
                await asyncio.sleep(LOOK_S)
