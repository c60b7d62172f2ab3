"""The page's own files: read once, compressed once, addressed by their fingerprint."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from studio import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

FINGERPRINT_CHARS = 16
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "public, no-cache"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file; its gzip form is made when it is first asked for, and used where it is smaller."""

    body: bytes
    content_type: str
    fingerprint: str

    def answer(self, request: web.Request, asked: str | None) -> web.Response:
        """Answer with the file, to be kept for ever under its own fingerprint; 304 when it is known."""
        headers = {
            "Cache-Control": FOR_EVER if asked == self.fingerprint else ASK_AGAIN,
            "ETag": f'"{self.fingerprint}"',
            "Vary": "Accept-Encoding",
        }
        if any(tag.value in {self.fingerprint, "*"} for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        body = self.body
        if "gzip" in request.headers.get("Accept-Encoding", "") and len(packed := _packed(body)) < len(body):
            headers["Content-Encoding"], body = "gzip", packed
        return web.Response(body=body, content_type=self.content_type, charset="utf-8", headers=headers)


class StaticFiles:
    """Every file of a folder, and those in `more`, by name; all lie at `base`."""

    def __init__(self, base: str, folder: Path, *more: Path) -> None:
        paths = (*sorted(folder.iterdir()), *more)
        self._base, self._files = base, {path.name: _read(path) for path in paths if path.is_file()}

    def url(self, name: str) -> str:
        """Return the address of a file's present content; raises KeyError for a file that is not there."""
        return f"{self._base}/{name}?v={self._files[name].fingerprint}"

    def file(self, name: str) -> StaticFile:
        """Return a file; raises NotFoundError."""
        found = self._files.get(name)
        if found is None:
            raise NotFoundError
        return found


@cache
def _packed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    fingerprint = hashlib.sha256(body).hexdigest()[:FINGERPRINT_CHARS]
    return StaticFile(body, kind, fingerprint)
