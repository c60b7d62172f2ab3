"""A bounded folder of files that were fetched, or stored, lately."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from studio import ProviderError, StorageFullError
from studio_b2.models import digest_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_IN_USE_S = 600.0
"""A file that was asked for so lately stays, however full the folder is: its reader may not have opened it yet."""


class FileCache:
    """Files under their keys, each with the bytes that its key promises.

    `part_s`: seconds after which a part that nobody writes to any more was left by a process that died.
    """

    def __init__(self, root: Path, limit: int, part_s: float) -> None:
        self._root, self._limit, self._part_s = root.absolute(), limit, part_s
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, key: str, fetch: Callable[[Path], Awaitable[None]]) -> Path:
        """Return the file of `key`; `fetch` writes it to a path if it is not here. Once at a time for each key."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if (found := await asyncio.to_thread(self._touched, key)) is not None:
                    return found
                with self._part() as part:
                    await fetch(part)
                    return await asyncio.to_thread(self._settle, part, key)
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    async def keep(self, key: str, source: Path) -> None:
        """Copy a file in that was just stored, if there is room for it."""
        await asyncio.to_thread(self._keep, key, source)

    async def drop(self, key: str) -> None:
        """Forget a file."""
        await asyncio.to_thread((self._root / key).unlink, missing_ok=True)

    def _keep(self, key: str, source: Path) -> None:
        if (self._root / key).exists() or source.stat().st_size > self._limit:
            return
        try:
            with self._part() as part:
                shutil.copyfile(source, part)
                self._settle(part, key)
        except (
            StorageFullError,
            ProviderError,
            OSError,
        ):  # the file is stored: a copy here is only a convenience
            return

    def _touched(self, key: str) -> Path | None:
        found = self._root / key
        try:
            os.utime(found)
        except FileNotFoundError:
            return None
        return found

    @contextmanager
    def _part(self) -> Iterator[Path]:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            part = self._root / f".part-{secrets.token_hex(8)}"
            try:
                yield part
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StorageFullError("There is no room left on the disk: free some space.") from error
            raise

    def _settle(self, part: Path, key: str) -> Path:
        with part.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest_of(key):
                raise ProviderError(
                    "The storage gave other bytes than were stored.", code="provider_bad_answer"
                )
        target = self._root / key
        target.parent.mkdir(exist_ok=True)
        part.replace(target)
        self._evict()
        return target

    def _evict(self) -> None:
        """Remove dead parts, then the files that were not asked for longest, until the rest fits."""
        self._drop_parts(time.time())
        files = [(path.stat(), path) for path in self._root.glob("??/*")]
        total, now = sum(stat.st_size for stat, _ in files), time.time()
        for stat, path in sorted(files, key=lambda row: row[0].st_mtime):
            if total <= self._limit or now - stat.st_mtime < _IN_USE_S:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size

    def _drop_parts(self, now: float) -> None:
        for part in self._root.glob(".part-*"):
            with suppress(OSError):  # its writer, or another process that tidies, may be faster
                if now - part.stat().st_mtime > self._part_s:
                    part.unlink()
