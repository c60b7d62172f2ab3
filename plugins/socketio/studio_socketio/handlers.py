"""Hands requests to Engine.IO, and refuses tokens in addresses: those end up in logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import BadRequestError
from studio_socketio.transport import SocketTransport

if TYPE_CHECKING:
    from aiohttp import web

    from studio import Request

_SECRET_NAMES = {"token", "access_token", "accesstoken", "auth", "authorization", "jwt"}


async def speak_engineio(request: Request) -> web.StreamResponse:
    """Answer one poll, or live as long as the websocket does."""
    if any(name.lower() in _SECRET_NAMES for name in request.raw.query):
        raise BadRequestError("Send the token in `auth`, never in the address.", code="token_in_query")
    return await request.service(SocketTransport).handle(request.raw)
