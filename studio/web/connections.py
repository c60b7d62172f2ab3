"""What aiohttp would tell of itself, and log, before any application sees a request."""

from __future__ import annotations

import logging

from aiohttp import web_response
from aiohttp.http_exceptions import HttpProcessingError

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
