"""`LocalFileStorage`: files on disk under the SHA-256 of their bytes."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import re
import secrets
from typing import TYPE_CHECKING, Any

from studio import NotFoundError, StoredBlob
from studio_local.files import storage_full_as_error, sync
from studio_local.settings import LocalSettings

if TYPE_CHECKING:
    from pathlib import Path

_KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(\.[a-z0-9]{1,8})?")
_SUFFIXES = {
    "application/otio+json": ".otio", "application/x-subrip": ".srt", "audio/wav": ".wav",
        "image/jpeg": ".jpg",
    "text/vtt": ".vtt", "text/x-ass": ".ass", "text/x-edl": ".edl", "application/fcpxml+xml": ".fcpxml",
}  # fmt: skip
_CHUNK = 1024 * 1024


class LocalFileStorage:
    """Keeps one copy of equal bytes; a file is there whole or not at all."""

    def __init__(self, ctx: Any) -> None:
        self._root: Path = ctx.settings(LocalSettings).storage_dir.absolute()

    async def put(self, source: Path, mime: str) -> StoredBlob:
        """Copy a file in; raises StorageFullError when there is no room, with nothing left behind."""
        return await asyncio.to_thread(self._put, source, mime)

    async def path(self, key: str) -> Path:
        """Return where the bytes lie; raises NotFoundError."""
        found = self._root / key
        if not _KEY.fullmatch(key) or not await asyncio.to_thread(found.is_file):
            raise NotFoundError("There is no such file in the storage.")
        return found

    async def delete(self, key: str) -> None:
        """Remove a file; no error when it is gone."""
        if _KEY.fullmatch(key):
            await asyncio.to_thread((self._root / key).unlink, missing_ok=True)

    def _put(self, source: Path, mime: str) -> StoredBlob:
        """Copy and hash in one pass: the key tells what is stored, even if `source` changes meanwhile."""
        part = self._root / f".part-{secrets.token_hex(8)}"
        with storage_full_as_error("this file"):
            self._root.mkdir(parents=True, exist_ok=True)
            try:
                digest, size = _copy(source, part)
                key = self._key(digest, mime)
                target = self._root / key
                target.parent.mkdir(exist_ok=True)
                sync(part)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        return StoredBlob(key=key, sha256=digest, bytes=size, mime=mime)

    def _key(self, digest: str, mime: str) -> str:
        plain = mime.split(";", maxsplit=1)[0].strip()
        suffix = _SUFFIXES.get(plain) or mimetypes.guess_extension(plain) or ""
        return f"{digest[:2]}/{digest}{suffix}"


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """Return the SHA-256 and the size of what was copied."""
    sha256, size = hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK):
            sha256.update(chunk)
            writer.write(chunk)
            size += len(chunk)
    return sha256.hexdigest(), size
