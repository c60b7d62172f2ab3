"""Handlers of sign-in by password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Doc, NotFoundError, Request
from studio_auth.api import refuse_keys, tokens_answer
from studio_password.models import PasswordLogin, PasswordProof, PasswordUpdate
from studio_password.service import PasswordService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web


async def log_in(request: Request, body: PasswordLogin) -> web.Response:
    """Sign in by password."""
    device, ip = request.raw.headers.get("User-Agent", ""), request.raw.remote or ""
    service = request.service(PasswordService)
    pair = await service.log_in(str(body.email).lower(), body.password, device, ip)
    return tokens_answer(request, pair, cookie=body.cookie)


async def get_password(request: Request) -> Doc:
    """Say whether the caller has a password."""
    return await request.service(PasswordService).get_password(request.actor)


async def set_password(request: Request, body: PasswordUpdate) -> None:
    """Set or change the password; all other sessions end."""
    refuse_keys(request.actor)
    await request.service(PasswordService).set_password(request.actor, body)


async def delete_password(request: Request, body: PasswordProof) -> None:
    """Remove the password: from then on codes only."""
    refuse_keys(request.actor)
    await request.service(PasswordService).delete_password(request.actor, body)


async def refuse(
    _: web.Request, __: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every route while sign-in by password is off."""
    raise NotFoundError(
        "Sign-in by password is off here: set STUDIO_PASSWORD__ENABLED=true.", code="password_off"
    )
