"""The page for the inbox and the deliveries, and its files: the page holds nothing of anybody, its calls sign in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp_jinja2
from aiohttp import web

from studio import Model, NotFoundError

if TYPE_CHECKING:
    from studio import Request

HERE = Path(__file__).parent
PAGE, FILES = "/webhooks", "/webhooks/static"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""No inline script or style, no other host, no frame round it: what vendors send is only ever text here."""
FOR_EVER, ASK_AGAIN = "public, max-age=31536000, immutable", "public, no-cache"
FINGERPRINT_CHARS = 16
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page, addressed by its fingerprint."""

    body: bytes
    content_type: str
    fingerprint: str

    @classmethod
    def read(cls, path: Path) -> PageFile:
        """Read one; raises KeyError for a kind that the page has no use for."""
        body = path.read_bytes()
        fingerprint = hashlib.sha256(body).hexdigest()[:FINGERPRINT_CHARS]
        return cls(body, TYPES[path.suffix], fingerprint)


class PageFiles:
    """Every file of the page, by name; read once."""

    def __init__(self, folder: Path = HERE / "static") -> None:
        self._files = {path.name: PageFile.read(path) for path in sorted(folder.iterdir())}

    def url(self, name: str) -> str:
        """Return the address of a file's present content; raises KeyError for one that is not there."""
        return f"{FILES}/{name}?v={self._files[name].fingerprint}"

    def file(self, name: str) -> PageFile:
        """Return a file; raises NotFoundError."""
        found = self._files.get(name)
        if found is None:
            raise NotFoundError
        return found


class FileQuery(Model):
    """`v` is the fingerprint in the address that the page names."""

    v: str | None = None


async def open_page(request: Request) -> web.Response:
    """Return the page of the inbox and the deliveries."""
    context = {"url": request.service(PageFiles).url}
    answer = aiohttp_jinja2.render_template("webhooks/webhooks.html", request.raw, context)
    answer.headers.update(HEADERS | {"Cache-Control": "no-store"})
    return answer


async def get_file(request: Request, query: FileQuery, file_name: str) -> web.Response:
    """Return one of the page's own files, for ever under its own fingerprint; 304 when it is known."""
    file = request.service(PageFiles).file(file_name)
    kept = FOR_EVER if query.v == file.fingerprint else ASK_AGAIN
    headers = HEADERS | {"Cache-Control": kept, "ETag": f'"{file.fingerprint}"', "Vary": "Accept-Encoding"}
    if any(tag.value in {file.fingerprint, "*"} for tag in request.raw.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    answer = web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)
    answer.enable_compression()
    return answer
