"""What a packet costs on its way from a client's queue to its websocket, cut down to that.

The library makes a task for each packet of each client to wait with a deadline, and looks into the websocket's method
each time to see whether it is asynchronous. Without both, the median of an event went from 23 to 18 ms (one pair of
`python bench/sockets.py --sockets 400`, on a machine with other load).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from engineio.async_drivers.aiohttp import WebSocket  # type: ignore[import-untyped]  # it publishes no types
from engineio.async_socket import AsyncSocket  # type: ignore[import-untyped]  # as above
from engineio.exceptions import QueueEmpty  # type: ignore[import-untyped]  # as above

if TYPE_CHECKING:
    import engineio  # type: ignore[import-untyped]  # as above


class _Socket(AsyncSocket):  # type: ignore[misc]  # the library has no types
    async def poll(self) -> list[Any]:
        """Return what waits for the client; raises QueueEmpty when nothing comes for as long as a ping may take."""
        try:
            async with asyncio.timeout(self.server.ping_interval + self.server.ping_timeout):
                packets = [await self.queue.get()]
        except (TimeoutError, asyncio.CancelledError):  # a cancelled writer ends as the library's does
            raise QueueEmpty from None
        self.queue.task_done()
        if packets == [None]:  # the end
            return []
        while not self.queue.empty():
            packet = self.queue.get_nowait()
            self.queue.task_done()
            if packet is None:
                self.queue.put_nowait(None)
                break
            packets.append(packet)
        return packets


class _WebSocket(WebSocket):  # type: ignore[misc]  # as above
    async def send(self, message: str | bytes) -> None:
        send = self._sock.send_bytes if isinstance(message, bytes) else self._sock.send_str
        await send(message)


def quicken(server: engineio.AsyncServer) -> None:
    """Let the websockets of `server` send without a look into their methods."""
    server._async = server._async | {"websocket": _WebSocket}  # noqa: SLF001 - where the library looks for it


def quicken_client(server: engineio.AsyncServer, eio_sid: str) -> None:
    """Let a client, which the library makes itself, wait without tasks."""
    server.sockets[eio_sid].__class__ = _Socket
