"""What aiohttp would tell of itself, and log, before any application sees a request."""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web, web_response
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from studio.errors import BadRequestError, StudioError
from studio.web.problem import problem

if TYPE_CHECKING:
    from collections.abc import Callable

HANDLER_ARGS = {"keepalive_timeout": 75.0, "lingering_time": 2.0}
"""How long a connection may idle after an answer (a load balancer's 60 s and some), and how long the rest of
a refused body is read."""


def hush_parser() -> None:
    """Answer a malformed request with a problem like any other, without versions, and log no traceback of it.

    aiohttp answers those before any application sees them, with a text that quotes what was sent: its own
    constant, logger and class are the only handles.
    """
    setattr(web_response, "SERVER_SOFTWARE", "studio")  # noqa: B010 - mypy knows no such export
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    if RequestHandler.handle_error.__module__ != __name__:
        setattr(RequestHandler, "handle_error", _as_problem(RequestHandler.handle_error))  # noqa: B010 - as above


def _as_problem(inner: Callable[..., web.StreamResponse]) -> Callable[..., web.StreamResponse]:
    def handle_error(
        handler: RequestHandler, request: Any, *details: Any, **named: Any
    ) -> web.StreamResponse:
        status = inner(
            handler, request, *details, **named
        ).status  # it logs, and refuses where an answer has begun
        unread = status < HTTPStatus.INTERNAL_SERVER_ERROR
        error = (
            BadRequestError("The request cannot be read.", code="malformed_request")
            if unread
            else StudioError()
        )
        answer = problem(error, os.urandom(9).hex())
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.force_close()
        return answer

    return handle_error


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
