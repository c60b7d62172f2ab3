"""Both servers start at the same time, whichever the kernel asks for first."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from studio_embedded.servers import EmbeddedServer


@asynccontextmanager
async def attached(server: EmbeddedServer) -> AsyncIterator[str]:
    """Yield the URL of a server that another process of this folder runs; raises EmbeddedServerError if none."""
    yield server.attach()


class ServerPair:
    """The servers that this process needs: the first `backend` entered starts all, the last one stops all."""

    def __init__(self, servers: Mapping[str, EmbeddedServer]) -> None:
        self._servers = servers
        self._starts: dict[str, asyncio.Task[str]] = {}
        self._entered = 0

    @asynccontextmanager
    async def backend(self, name: str) -> AsyncIterator[str]:
        """Yield the URL of the server `name` once it answers; errors as for `EmbeddedServer.start`."""
        self._entered += 1
        for each in [name] if self._starts else self._servers:
            if each not in self._starts:
                start = self._servers[each].start()
                self._starts[each] = asyncio.create_task(start, name=f"embedded-start:{each}")
        try:
            yield await asyncio.shield(self._starts[name])
        finally:
            self._entered -= 1
            await self._stop([name] if self._entered else list(self._starts))

    async def _stop(self, names: list[str]) -> None:
        starts = [self._starts.pop(name) for name in names]
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        await asyncio.gather(*(self._servers[name].stop() for name in names))

    def health(self, name: str) -> str:
        """Return the server's note; raises EmbeddedServerError when it is down."""
        return self._servers[name].health()
