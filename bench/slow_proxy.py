"""A TCP proxy whose far side may be slow or a black hole, for benches: `async with Proxy(port) as proxy`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

CHUNK = 65_536


class Proxy:
    """Listens on a port of loopback and passes everything on to `target`, another one.

    `delay_s` holds every answer back; `hole` swallows what either side says, and lets connections hang.
    """

    def __init__(self, target: int) -> None:
        self.target, self.port = target, 0
        self.delay_s, self.hole = 0.0, False
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):  # nobody waits for this task
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass(reader, far_writer, slow=False))
                    both.create_task(self._pass(far_reader, writer, slow=True))
            except* OSError:
                pass
            finally:
                far_writer.close()
        writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        while data := await reader.read(CHUNK):
            if slow and self.delay_s:
                await asyncio.sleep(self.delay_s)
            if not self.hole:
                writer.write(data)
                await writer.drain()
        if not self.hole:
            writer.close()
