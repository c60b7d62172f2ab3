"""Which rates a route obeys, and the middleware that holds it to them."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, TypeAlias

from studio import RateLimitedError
from studio_limits.callers import Callers, address_of
from studio_limits.settings import NONE, Rate
from studio_limits.shared import SharedWindows
from studio_limits.window import Window

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from studio import Middleware, PluginContext, Route
    from studio_limits.settings import LimitsSettings

Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"
BY_ADDRESS = frozenset({"auth", "refresh"})
"""Classes that count by address even for who is signed in: else one account would buy tries at another."""
EXACT = frozenset({"auth", "refresh", "mail"})


class Limiter:
    """All windows of one process."""

    def __init__(self, ctx: PluginContext, settings: LimitsSettings) -> None:
        self._ctx, self._settings = ctx, settings
        self._callers = Callers(ctx)
        self.everything, self.creates = Window(settings.all), Window(settings.create)
        self.shared = SharedWindows(ctx)

    async def keep_sharing(self) -> None:
        """Tell the other processes of busy callers, for ever; run it as a task."""
        await self.shared.connect()
        while self._ctx.cache.url:
            await asyncio.sleep(self._settings.share_s)
            await self.everything.share("all", self._ctx.cache.incr)
            await self.creates.share("create", self._ctx.cache.incr)

    def wrap(self, route: Route) -> Middleware | None:
        """Return what counts the route's calls; None for a route that declares "none"."""
        if route.rate == NONE:
            return None
        name, rate = self._own(route)
        if rate is None:
            return self._general("")
        if name == "create":
            return self._general(f"{route.method} {route.path}")
        return self._particular(route, name, rate)

    def _own(self, route: Route) -> tuple[str, Rate | None]:
        """Return name and rate of what the route obeys besides "all"; the operator's word goes first."""
        place, known = f"{route.method} {route.path}", self._settings
        if place in known.routes:
            return place, known.routes[place]
        if route.rate in EXACT:
            return route.rate, getattr(known, route.rate)
        if not route.rate:
            return "create", known.create if route.method == "POST" else None
        if route.rate == "all":
            return "", None
        try:
            return place, Rate(route.rate)
        except ValueError:
            self._ctx.log.warning("rate_unknown", route=place, rate=route.rate, hint="it gets that of `auth`")
            return "auth", known.auth

    def _general(self, creates_at: str) -> Middleware:
        """Count in this process, and nothing else: a call waits for nobody."""
        known, everything, creates = self._callers.known, self.everything, self.creates

        async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
            headers = request.headers
            if token := headers.get("Authorization"):
                caller = known.get(hash(token)) or await self._caller(request)
            else:
                caller = await self._caller(request) if "Cookie" in headers else address_of(request)
            if wait := everything.hit(caller):
                raise refused("all", everything.rate, wait)
            if creates_at and (wait := creates.hit(f"{creates_at} {caller}")):
                raise refused("create", creates.rate, wait)
            return await handler(request)

        return limited

    def _particular(self, route: Route, name: str, rate: Rate) -> Middleware:
        """Count in all processes together, exactly."""
        place, everything = f"{route.method} {route.path}", self.everything

        async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
            caller = await self._caller(request)
            if wait := everything.hit(caller):
                raise refused("all", everything.rate, wait)
            subject = address_of(request) if name in BY_ADDRESS else caller
            if wait := await self.shared.hit(rate, f"{place} {subject}"):
                raise refused(name, rate, wait)
            return await handler(request)

        return limited

    async def _caller(self, request: web.Request) -> str:
        """Return who calls; raises RateLimitedError instead of looking up a busy address's credentials."""
        address = address_of(request)
        shown = request.headers.get("Authorization") or request.headers.get("Cookie")
        if not shown:
            return address
        if found := self._callers.known.get(hash(shown)):
            return found
        if wait := self.everything.wait(address):
            raise refused("all", self.everything.rate, wait)
        return await self._callers.identify(request, shown) or address


def refused(name: str, rate: Rate, wait: float) -> RateLimitedError:
    """Return the 429. Source of its headers: draft-ietf-httpapi-ratelimit-headers-10, RFC 9110 10.2.3."""
    seconds = math.ceil(wait)
    return RateLimitedError(
        f"At most {rate.calls} calls in {rate.seconds} s here: try again in {seconds} s.",
        retry_after=seconds,
        retry_with=[{"action": "wait", "afterS": seconds}],
        headers={
            "RateLimit-Policy": f'"{name}";q={rate.calls};w={rate.seconds}',
            "RateLimit": f'"{name}";r=0;t={seconds}',
        },
    )
