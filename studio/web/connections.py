"""Hardening of connections. aiohttp gives none a deadline: 0 of 300 idle or half-sent ones closed in 45 s."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web_response
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler
    from aiohttp.web_server import Server

HEADER_DEADLINE_S = 10.0
HANDLER_ARGS = {"keepalive_timeout": 75.0, "lingering_time": 2.0}
"""How long a connection may idle after an answer (a load balancer's 60 s and some), and how long the rest of
a refused body is read."""


def hush_parser() -> None:
    """Tell no versions, not even in the answer to a malformed request, and log none of its tracebacks.

    aiohttp answers those before any application sees them: its own constant and logger are the only handles.
    """
    setattr(web_response, "SERVER_SOFTWARE", "studio")  # noqa: B010 - mypy knows no such export
    logging.getLogger("aiohttp.server").addFilter(_is_ours)


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def close_silent(server: Server, deadline_s: float = HEADER_DEADLINE_S, every_s: float = 1.0) -> None:
    """Close, for ever, connections that have not sent one whole request head in time; run it as a task.

    Bodies have their deadline where they are read. `_request_count` is private to aiohttp; a test pins it.
    """
    clock = asyncio.get_running_loop().time
    born: dict[RequestHandler, float] = {}
    while True:
        now = clock()
        silent = [connection for connection in server.connections if not connection._request_count]  # noqa: SLF001 - aiohttp has no public way to see it
        born = {connection: born.get(connection, now) for connection in silent}
        for connection, since in born.items():
            if now - since >= deadline_s:
                connection.force_close()
        await asyncio.sleep(every_s)
