"""The page for the inbox and the deliveries, and its files: the page holds nothing of anybody, its calls sign in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp_jinja2

from studio import Model
from studio_console.api import HEADERS, SESSION, StaticFiles

if TYPE_CHECKING:
    from aiohttp import web

    from studio import Request

HERE = Path(__file__).parent
PAGE, FILES = "/webhooks", "/webhooks/static"
POLICY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}
"""No inline script or style, no other host, no frame round it: what vendors send is only ever text here."""


class PageFiles(StaticFiles):
    """The files of this page, and the console's script for the session."""

    def __init__(self) -> None:
        super().__init__(FILES, HERE / "static", SESSION)


class FileQuery(Model):
    """`v` is the fingerprint in the address that the page names."""

    v: str | None = None


async def open_page(request: Request) -> web.Response:
    """Return the page of the inbox and the deliveries."""
    context = {"url": request.service(PageFiles).url}
    answer = aiohttp_jinja2.render_template("webhooks/webhooks.html", request.raw, context)
    answer.headers.update(HEADERS | POLICY | {"Cache-Control": "no-store"})
    return answer


async def get_file(request: Request, query: FileQuery, file_name: str) -> web.Response:
    """Return one of the page's own files, for ever under its own fingerprint; 304 when it is known."""
    answer = request.service(PageFiles).file(file_name).answer(request.raw, query.v)
    answer.headers.update(HEADERS | POLICY)
    return answer
