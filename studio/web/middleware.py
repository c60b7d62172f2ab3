"""The outermost layer of a request: its id, its deadline, its figures, and the only catch-all."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from typing import TYPE_CHECKING

from aiohttp import web

from studio.errors import PluginError
from studio.telemetry import get_logger
from studio.web.connections import HANDLER_ARGS, hush_parser
from studio.web.deps import REQUEST_ID
from studio.web.problem import problem
from studio.web.proxies import SECURE, believe
from studio.web.routing import RouteTable, TypedRoute
from studio.web.sending import Sender
from studio.web.short_way import take_short_way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp.typedefs import Middleware

    from studio.settings import WebSettings
    from studio.web.deps import Handler, WebDeps
    from studio.web.route import Route

log = get_logger("studio.web")
CLIENT_CLOSED = 499
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, "
    "Last-Event-ID, Range, X-Request-Id, X-Requested-With",
    "Access-Control-Max-Age": "600",
}
_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer, unless its route says otherwise, as the pages of the console do."""
_EXPOSED = "Accept-Ranges, Content-Disposition, Content-Range, ETag, Idempotent-Replay, Location, RateLimit, \
RateLimit-Policy, Retry-After, X-Request-Id"


def build_application(
    bound: Iterable[tuple[str, Route, Handler]],
    *,
    deps: WebDeps,
    unavailable: Mapping[str, tuple[str, str]] | None = None,
) -> web.Application:
    """Return the application of (plugin, route, bound handler); `unavailable` as in `RouteTable`."""
    hush_parser()
    outermost = gate(deps)
    app = web.Application(
        middlewares=[outermost], client_max_size=deps.settings.web.body_limit, handler_args=HANDLER_ARGS
    )
    app.on_response_prepare.append(decorate(deps.settings.web))
    table = RouteTable(deps.settings.web.deadline_s, unavailable or {})
    for plugin, route, handler in bound:
        table.add(plugin, route, handler)
    app.router.register_resource(table)
    take_short_way(app, table, outermost)
    return app


def gate(deps: WebDeps) -> Middleware:
    """Return the outermost middleware."""
    trusted, origins = deps.settings.server.trusted_proxies, deps.settings.web.cors_origins
    hsts = _hsts(deps.settings.web)
    common = {"Server": "studio", **_COMMON} | ({"Vary": "Origin"} if origins else {})
    plain, secure = Sender(common), Sender(common | hsts)
    start, numbers = os.urandom(9).hex(), itertools.count()

    async def outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
        started, status, route = time.perf_counter(), CLIENT_CLOSED, request.match_info.route
        typed = route if isinstance(route, TypedRoute) else None
        deadline = typed and typed.deadline
        asked = request.headers.get("X-Request-Id")
        request_id = asked if asked and _SANE_ID.fullmatch(asked) else f"{start}{next(numbers):08x}"
        request[REQUEST_ID] = request_id
        if trusted:
            request = believe(request, trusted)
        if deadline:
            deadline.begin(request.task)
        try:
            response = (request.method == "OPTIONS" and _preflight(request)) or await handler(request)
            status = response.status
        except asyncio.CancelledError:
            if not (deadline and deadline.passed(request.task)):
                raise
            response = _answer(request, TimeoutError())
            status = response.status
        except (web.HTTPSuccessful, web.HTTPRedirection) as done:
            status = done.status
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the one boundary of a request
            response = _answer(request, error)
            status = response.status
        finally:
            if deadline:
                deadline.end(request.task)
            template = typed.template if typed else route.resource and route.resource.canonical
            deps.observe(template or "unmatched", request.method, status, time.perf_counter() - started)
        usual = not origins or "Origin" not in request.headers
        sender = secure if hsts and request.get(SECURE) else plain
        if usual and sender.send(request, response, request_id):
            await sender.drain(request)
        return response

    return web.middleware(outermost)


def _answer(request: web.Request, error: Exception | SystemExit) -> web.Response:
    if isinstance(error, SystemExit):  # left alone it would end the event loop, and the server with it
        plugin = getattr(request.match_info.route, "plugin", "?")
        error = PluginError(f"plugin {plugin!r} called sys.exit({error.code!r}) in a request")
    if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
        return web.Response(status=CLIENT_CLOSED)  # the client went away: nothing to tell, nothing to log
    answer = problem(error, request[REQUEST_ID])
    if answer.status == web.HTTPInternalServerError.status_code:
        _log(error, request)
    if request.writer.output_size > 0:
        raise ConnectionResetError("the answer had begun; closing tells the client that it is cut") from error
    return answer


def _log(error: Exception, request: web.Request) -> None:
    route = getattr(request.match_info.route, "template", request.path)
    what = {"method": request.method, "route": route, "request_id": request.get(REQUEST_ID)}
    # A parameter called token is not shown, and so the path cannot be.
    log.error("request_failed", **what, params=dict(request.match_info), exc_info=error)


def _hsts(settings: WebSettings) -> dict[str, str]:
    return {"Strict-Transport-Security": f"max-age={settings.hsts_s}"} if settings.hsts_s else {}


def _preflight(request: web.Request) -> web.Response | None:
    """Answer a preflight wherever no OPTIONS route does; whether it is allowed, `decorate` says."""
    if request.match_info.http_exception is None:
        return None
    return web.Response(status=204) if "Access-Control-Request-Method" in request.headers else None


def decorate(settings: WebSettings) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return the signal handler that puts the common headers on every answer, streams and files included.

    Only a listed origin may read answers, with credentials.
    """
    origins, hsts = settings.cors_origins, _hsts(settings)

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers["X-Request-Id"] = request.get(REQUEST_ID, "")
        for name, value in _COMMON.items():
            headers.setdefault(name, value)
        if hsts and request.get(SECURE):
            headers.update(hsts)
        if not origins:
            return
        headers.add("Vary", "Origin")
        if (origin := request.headers.get("Origin")) in origins:
            headers["Access-Control-Allow-Origin"] = str(origin)
            headers["Access-Control-Allow-Credentials"] = "true"
            headers["Access-Control-Expose-Headers"] = _EXPOSED
            if "Access-Control-Request-Method" in request.headers:
                headers.update(_PREFLIGHT)

    return prepare
