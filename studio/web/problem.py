"""One mapping of every error to `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import math
from typing import Any

import orjson
from aiohttp import web

from studio.errors import (
    BadRequestError,
    DeadlineExceededError,
    NotFoundError,
    PayloadTooLargeError,
    StudioError,
    UnauthenticatedError,
)
from studio.telemetry import redact

_KNOWN: tuple[tuple[type[Exception], type[StudioError], str], ...] = (
    (web.HTTPRequestEntityTooLarge, PayloadTooLargeError, "The body is larger than this address takes."),
    (web.HTTPNotFound, NotFoundError, "There is no such address or object."),
    (web.RequestPayloadError, BadRequestError, "The body cannot be decoded; check Content-Encoding."),
    (TimeoutError, DeadlineExceededError, "The request took too long; try again later."),
)


def as_studio_error(error: Exception) -> StudioError:
    """Return what a client may know of `error`; an unexpected one says nothing of itself."""
    if isinstance(error, StudioError):
        return error
    for kind, known, detail in _KNOWN:
        if isinstance(error, kind):
            return known(detail)
    if isinstance(error, web.HTTPException):
        return _http_error(error)
    return StudioError("Something went wrong on our side; tell us the requestId.")


def problem(error: Exception, request_id: str) -> web.Response:
    """Return the answer to `error`, with Retry-After, Allow and WWW-Authenticate where they belong."""
    known = as_studio_error(error)
    body: dict[str, Any] = {
        **known.extra,
        "type": f"/problems/{known.code}",
        "title": known.title,
        "status": known.status,
        "code": known.code,
        "detail": known.detail,
        "requestId": request_id,
    }
    if known.retry_with is not None:
        body["retryWith"] = known.retry_with
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    headers.update(known.headers)
    if known.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(known.retry_after))
    if isinstance(known, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
    # A vendor's words may hold the key it was asked with.
    safe = redact(orjson.dumps(body, default=str).decode())
    return web.Response(body=safe.encode(), status=known.status, headers=headers)


def _http_error(error: web.HTTPException) -> StudioError:
    title = error.reason
    detail = "" if error.text == f"{error.status}: {title}" else error.text or ""
    shape = {"status": error.status, "code": title.lower().replace(" ", "_"), "title": title}
    kind: type[StudioError] = type("HttpError", (StudioError,), shape)
    return kind(detail)
