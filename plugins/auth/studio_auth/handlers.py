"""Handlers of sign-in, users and sessions."""

from __future__ import annotations

from aiohttp import web

from studio import Doc, Page, PageQuery, Request
from studio_auth.answers import tokens_answer
from studio_auth.keys import ApiKeyService, refuse_keys
from studio_auth.models import (
    ApiKeyCreate,
    OtpRequest,
    OtpRequested,
    OtpVerify,
    RefreshRequest,
    UserUpdate,
)
from studio_auth.otp import OtpService
from studio_auth.service import COOKIE, AccountService
from studio_auth.settings import AuthSettings


async def request_otp(request: Request, body: OtpRequest) -> OtpRequested:
    """Mail a one-time code."""
    await request.service(OtpService).request_otp(str(body.email).lower(), request.raw.remote or "")
    return OtpRequested(expires_in=request.ctx.settings(AuthSettings).otp_ttl_s)


async def verify_otp(request: Request, body: OtpVerify) -> web.Response:
    """Trade a one-time code for tokens."""
    email = str(body.email).lower()
    await request.service(OtpService).verify_otp(email, body.code)
    device = request.raw.headers.get("User-Agent", "")
    pair = await request.service(AccountService).sign_in(email, device, request.raw.remote or "")
    return tokens_answer(request, pair, cookie=body.cookie)


async def refresh_tokens(request: Request, body: RefreshRequest) -> web.Response:
    """Trade a refresh token for a new pair."""
    pair = await request.service(AccountService).refresh(body.refresh_token)
    return tokens_answer(request, pair, cookie=body.cookie)


async def logout(request: Request) -> web.Response:
    """End the caller's session."""
    refuse_keys(request.actor)
    await request.service(AccountService).sign_out(request.actor)
    return _signed_out()


async def logout_all(request: Request) -> web.Response:
    """End every session of the caller; API keys live on."""
    refuse_keys(request.actor)
    await request.service(AccountService).revoke_all(request.actor.user_id)
    return _signed_out()


def _signed_out() -> web.Response:
    answer = web.Response(status=204)
    answer.del_cookie(COOKIE)
    return answer


async def get_me(request: Request) -> Doc:
    """Return the caller's account."""
    return await request.service(AccountService).get_me(request.actor)


async def update_me(request: Request, body: UserUpdate) -> Doc:
    """Change the caller's account."""
    refuse_keys(request.actor)
    return await request.service(AccountService).update_me(request.actor, body)


async def list_sessions(request: Request, query: PageQuery) -> Page:
    """List the caller's sessions, newest first."""
    refuse_keys(request.actor)
    return await request.service(AccountService).list_sessions(request.actor, query)


async def revoke_session(request: Request, session_id: str) -> None:
    """End one of the caller's sessions."""
    refuse_keys(request.actor)
    await request.service(AccountService).revoke(request.actor.user_id, session_id)


async def create_api_key(request: Request, body: ApiKeyCreate) -> Doc:
    """Make an API key; the answer shows it this once."""
    refuse_keys(request.actor)
    return await request.service(ApiKeyService).create_api_key(request.actor, body)


async def list_api_keys(request: Request, query: PageQuery) -> Page:
    """List the caller's API keys, newest first, without their secrets."""
    refuse_keys(request.actor)
    return await request.service(ApiKeyService).list_api_keys(request.actor, query)


async def revoke_api_key(request: Request, key_id: str) -> None:
    """Revoke one of the caller's API keys."""
    refuse_keys(request.actor)
    await request.service(ApiKeyService).revoke_api_key(request.actor, key_id)
