"""The one handler."""

from __future__ import annotations

from aiohttp import web

from studio import Request
from studio_openapi.service import OpenApi


async def get_openapi(request: Request) -> web.Response:
    """Return the OpenAPI 3.1 document of every route that is on."""
    return web.Response(body=request.service(OpenApi).rendered, content_type="application/json")
