"""Server-sent events out of pieces of bytes. Source: HTML Living Standard, 9.2.6."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator


async def sse_events(pieces: AsyncIterable[bytes]) -> AsyncIterator[tuple[str, str]]:
    """Yield (event name, data) of each whole event; one that the end cuts off is dropped."""
    event, data = "", list[str]()
    async for line in _lines(pieces):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif not line:
            if data:
                yield event, "\n".join(data)
            event, data = "", []


async def _lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[str]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")
