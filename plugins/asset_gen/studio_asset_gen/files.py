"""Files of takes over HTTP: ranges, immutable addresses, and nothing that a browser would run."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING

from aiohttp import web

from studio import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from studio import Doc

SAFE = frozenset(
    {"image/jpeg", "image/png", "image/webp", "audio/wav", "audio/mpeg", "video/mp4", "text/vtt"}
)
"""Kinds that a browser shows without running anything; all others come as attachment."""
YEAR_S = 31_536_000
SUFFIX = {"audio/wav": ".wav", "text/vtt": ".vtt", "application/x-subrip": ".srt"}


def file_answer(
    asset: Doc, path: Path, fingerprint: str | None, *, download: bool = False
) -> web.FileResponse:
    """Answer with an asset's file; aiohttp serves ranges and conditional requests.

    Raises NotFoundError for a fingerprint that is not this file's.
    """
    blob = asset["blob"]
    if fingerprint is not None and not blob["sha256"].startswith(fingerprint):
        raise NotFoundError("This address is not the file's any more; take the one that the asset names.")
    inline = blob["mime"] in SAFE and not download
    name = f"{asset['role']}-{asset['_id']}{suffix_of(blob['mime'])}"
    headers = {
        "Content-Type": blob["mime"],
        "Cache-Control": f"private, max-age={YEAR_S}, immutable" if fingerprint else "private, no-cache",
        "Content-Disposition": f'{"inline" if inline else "attachment"}; filename="{name}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return web.FileResponse(path, headers=headers)


def suffix_of(mime: str) -> str:
    """Return the usual ending of a file of this type, "" when there is none."""
    return SUFFIX.get(mime) or mimetypes.guess_extension(mime) or ""
