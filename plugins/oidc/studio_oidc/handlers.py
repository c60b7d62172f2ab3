"""Handlers of sign-in by OpenID Connect."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from studio import Doc, Request, StudioError
from studio_auth.api import tokens_answer
from studio_oidc.models import OidcCallback, OidcExchange
from studio_oidc.service import BASE, FLOW_S, OidcService

COOKIE = "studio_oidc"
HEADERS = {"Cache-Control": "no-store"}


async def list_providers(request: Request) -> Doc:
    """List the houses that one can sign in with."""
    return {"items": request.service(OidcService).list_providers()}


async def start(request: Request, provider: str) -> web.Response:
    """Send the browser to the provider."""
    cookies, origin = request.raw.cookies, _origin(request)
    departure = await request.service(OidcService).start(provider, origin, cookies.get(COOKIE))
    answer = web.Response(status=302, headers=HEADERS | {"Location": departure.url})
    answer.set_cookie(
        COOKIE,
        departure.browser,
        max_age=FLOW_S,
        path=BASE,
        httponly=True,
        samesite="Lax",  # Strict would keep it away from the provider's redirect
        secure=origin.startswith("https://"),
    )
    return answer


async def finish(request: Request, provider: str, query: OidcCallback) -> web.Response:
    """Take the browser back from the provider, and send it on with a code of ours, or why there is none."""
    service = request.service(OidcService)
    try:
        code = await service.finish(provider, _origin(request), request.raw.cookies.get(COOKIE), query)
        told = {"oidcCode": code}
    except StudioError as error:
        request.ctx.log.info("oidc_sign_in_failed", provider=provider, code=error.code, detail=error.detail)
        told = {"oidcError": error.code}
    return web.Response(status=302, headers=HEADERS | {"Location": f"{service.return_url}#{urlencode(told)}"})


async def exchange(request: Request, body: OidcExchange) -> web.Response:
    """Trade the code of the returned address for tokens."""
    device, ip = request.raw.headers.get("User-Agent", ""), request.raw.remote or ""
    pair = await request.service(OidcService).exchange(body.code, device, ip)
    return tokens_answer(request, pair, cookie=body.cookie)


def _origin(request: Request) -> str:
    """Return our own origin as browsers see it."""
    return str(request.ctx.config.server.public_url or request.raw.url.origin()).rstrip("/")
