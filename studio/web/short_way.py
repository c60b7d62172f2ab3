"""From aiohttp's connection to a typed route without aiohttp's router: 7 of the 44 µs that a short request took."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Middleware

    from studio.web.routing import RouteTable


def take_short_way(app: web.Application, table: RouteTable, outermost: Middleware) -> None:
    """Let `app` hand a request for a typed route straight to `outermost`, and any other to aiohttp's router.

    A request that waits for `100 Continue` takes the long way too. aiohttp has no public place for this; what is
    private to it here, tests/web/test_short_way.py pins.
    """
    long_way = app._handle  # noqa: SLF001 - see above

    async def handle(request: web.Request) -> web.StreamResponse:
        found = table.match(request)
        if found is None or "Expect" in request.headers:
            return await long_way(request)
        found.add_app(app)
        found.freeze()
        request._match_info = found  # noqa: SLF001 - see above
        return await outermost(request, found.handler)

    object.__setattr__(app, "_handle", handle)
