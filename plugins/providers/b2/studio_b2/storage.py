"""`B2FileStorage`: files in a bucket under the SHA-256 of their bytes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from studio import (
    InvalidInputError,
    NotFoundError,
    PayloadTooLargeError,
    ProviderError,
    ProviderRejectedError,
    StoredBlob,
    StudioError,
)
from studio_b2.cache import FileCache
from studio_b2.client import B2Client
from studio_b2.models import KEY, checked_mime, key_of
from studio_b2.settings import B2Settings

if TYPE_CHECKING:
    from pathlib import Path

    from studio import PluginContext

LONGEST_S = 604_800
"""A link is good for seven days at most."""
_PARTS = 10_000
_VERSIONS = 20
_ABORT_S = 15.0


class B2FileStorage:
    """Keeps one copy of equal bytes. Files are read from a bounded cache on this machine."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = ctx.settings(B2Settings)
        self._client = B2Client(ctx, self._settings)
        self._cache = FileCache(
            self._settings.cache_dir, self._settings.cache_bytes, self._settings.deadline_s
        )

    async def put(self, source: Path, mime: str) -> StoredBlob:
        """Store a local file, in parts when it is large; raises StorageFullError, and leaves no parts behind."""
        mime = checked_mime(mime)
        digest, size = await asyncio.to_thread(_measured, source)
        if size > self._settings.max_file_bytes:
            raise PayloadTooLargeError(f"A stored file has at most {self._settings.max_file_bytes} bytes.")
        key = key_of(digest, mime)
        if await self._client.head(key) is None:
            await self._send(key, source, mime, size)
        await self._cache.keep(key, source)
        return StoredBlob(key=key, sha256=digest, bytes=size, mime=mime)

    async def path(self, key: str) -> Path:
        """Return a local path with the file's bytes, fetched once; raises NotFoundError."""
        _check(key)

        async def fetch(target: Path) -> None:
            try:
                await self._client.download(key, target)
            except ProviderRejectedError:
                await self._client.explain(key)
                raise

        return await self._cache.get(key, fetch)

    async def delete(self, key: str) -> None:
        """Remove a file with its versions: B2 would only hide it, and go on charging. No error when it is gone."""
        if not KEY.fullmatch(key):
            return
        await self._cache.drop(key)
        for _ in range(_VERSIONS):
            found = await self._client.head(key)
            if found is None:
                return
            await self._client.remove(key, found.get("x-amz-version-id", ""))
        raise ProviderError("B2 keeps the file although it was told to remove it.")

    async def presign_get(self, key: str, seconds: int) -> str:
        """Return a link to read a file, good for 1 second to 7 days."""
        _check(key)
        return self._client.link("GET", key, _checked(seconds))

    async def presign_put(self, key: str, mime: str, seconds: int) -> str:
        """Return a link to store a file; it must be sent with `mime` as its Content-Type."""
        _check(key)
        return self._client.link("PUT", key, _checked(seconds), checked_mime(mime))

    async def _send(self, key: str, source: Path, mime: str, size: int) -> None:
        if size < self._settings.multipart_bytes:
            await self._whole(key, source, mime)
        else:
            await self._in_parts(key, source, mime, size)

    async def _whole(self, key: str, source: Path, mime: str) -> None:
        body = await asyncio.to_thread(source.read_bytes)
        if key_of(hashlib.sha256(body).hexdigest(), mime) != key:
            raise _changed()
        await self._client.put(key, body, mime)

    async def _in_parts(self, key: str, source: Path, mime: str, size: int) -> None:
        """Send part after part, one of them in memory; whatever stops this, the upload is dropped."""
        step = max(self._settings.multipart_bytes, -(-size // _PARTS))
        upload, joined = await self._client.begin(key, mime), False
        try:
            etags, sha256 = [], hashlib.sha256()
            for number, start in enumerate(range(0, size, step), 1):
                body = await asyncio.to_thread(_read, source, start, step)
                sha256.update(body)
                etags.append(await self._client.part(key, upload, number, body))
            if key_of(sha256.hexdigest(), mime) != key:
                raise _changed()
            await self._join(key, upload, etags, size)
            joined = True
        finally:
            if not joined:
                await self._drop(key, upload)

    async def _join(self, key: str, upload: str, etags: list[str], size: int) -> None:
        try:
            await self._client.complete(key, upload, etags)
        except ProviderError as error:
            if error.code != "upload_gone":
                raise
            found = await self._client.head(
                key
            )  # a repeated call: the one before it was answered and got lost
            if found is None or found.get("content-length") != str(size):
                raise

    async def _drop(self, key: str, upload: str) -> None:
        try:
            async with asyncio.timeout(_ABORT_S):
                await self._client.abort(key, upload)
        except (StudioError, TimeoutError):  # what stopped the upload is told; a rule of the bucket tidies
            return


def _check(key: str) -> None:
    if not KEY.fullmatch(key):
        raise NotFoundError("There is no such file in the storage.")


def _checked(seconds: int) -> int:
    if not 1 <= seconds <= LONGEST_S:
        raise InvalidInputError(f"A link is good for 1 to {LONGEST_S} seconds.")
    return int(seconds)


def _changed() -> ProviderError:
    return ProviderError("The file changed while it was stored.", code="file_changed")


def _measured(source: Path) -> tuple[str, int]:
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def _read(source: Path, start: int, size: int) -> bytes:
    with source.open("rb") as file:
        file.seek(start)
        return file.read(size)
