"""From aiohttp's request to a `WebhookCall`: the bytes as they were sent, and nothing read from them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from aiohttp import web

from studio import PayloadTooLargeError, UnsupportedMediaTypeError, WebhookCall, now_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_S, CHUNK = 10.0, 65_536
HEADERS, HEADER_CHARS = 60, 500
_SECRET = re.compile(r"sig|auth|cookie|token|secret|key|hmac|passw|session", re.IGNORECASE)
REDACTED = "[redacted]"


async def read_call(raw: web.Request, limit: int) -> WebhookCall:
    """Read a call of at most `limit` bytes.

    Raises PayloadTooLargeError, and UnsupportedMediaTypeError for a Content-Encoding: signatures are over what
    is sent, and decoded it would be something else. A header that comes twice is one, joined by a comma; bytes in one
    that are no UTF-8 become U+FFFD, as nothing else can be stored.
    """
    if raw.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError("Send the body without a Content-Encoding.")
    if (raw.content_length or 0) > limit:
        raise _too_large(limit)
    headers: dict[str, str] = {}
    for name, value in raw.headers.items():
        key, text = name.lower(), value.encode(errors="surrogateescape").decode(errors="replace")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return WebhookCall(
        method=raw.method,
        path=raw.rel_url.raw_path,
        query=raw.rel_url.raw_query_string,
        headers=headers,
        body=await _body(raw, limit),
        received_at=now_ms(),
    )


async def _body(raw: web.Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in raw.content.iter_chunked(CHUNK):
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The body did not arrive in time; send it again.") from None
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The body may have {limit} bytes.", limit=limit)


def redacted(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers as they may be kept and shown: without signatures, tokens and cookies, and not too many."""
    some = list(headers.items())[:HEADERS]
    return {name: REDACTED if _SECRET.search(name) else value[:HEADER_CHARS] for name, value in some}
