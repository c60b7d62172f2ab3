"""The one answer to every way of signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from studio_auth.models import TokenPair, UserPublic
from studio_auth.service import COOKIE

if TYPE_CHECKING:
    from studio import Doc, Request

NO_STORE = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def tokens_answer(request: Request, pair: Doc, *, cookie: bool) -> web.Response:
    """Return the TokenPair of a sign-in, never to be stored; with `cookie` also the browser's session cookie."""
    stored = pair["user"]
    known = {name: stored[name] for name in UserPublic.model_fields if stored.get(name) is not None}
    user = UserPublic.model_construct(**known | {"id": stored["_id"]})
    body = TokenPair.model_construct(**pair | {"user": user}).model_dump(mode="json", by_alias=True)
    answer = web.Response(body=orjson.dumps(body), headers=NO_STORE)
    if cookie:
        answer.set_cookie(
            COOKIE,
            pair["access_token"],
            max_age=pair["expires_in"],
            httponly=True,
            samesite="Strict",
            secure=_is_https(request),
        )
    return answer


def _is_https(request: Request) -> bool:
    """Return whether browsers reach us over TLS, which a proxy in front of us may end."""
    public_url = request.ctx.config.server.public_url or ""
    return request.raw.scheme == "https" or str(public_url).startswith("https://")
