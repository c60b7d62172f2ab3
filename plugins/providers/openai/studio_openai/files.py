"""Files that a vendor's answer brought: written whole, kept until they are copied to storage, then removed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from studio import StorageFullError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CLEAN_S = 3600.0


class OutputFolder:
    """A plugin's own folder. Whoever takes a file copies it; `running` removes those older than `keep_h`."""

    def __init__(self, root: Path, *, keep_h: float) -> None:
        self._root, self._keep_s = root.absolute(), keep_h * 3600

    async def put(self, job_id: str, suffix: str, data: bytes) -> Path:
        """Write the file of a job, named by its id so that a repetition replaces it; raises StorageFullError."""
        target = self._place(job_id, suffix)
        try:
            await asyncio.to_thread(_write, target, data)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StorageFullError(
                    "There is no room left on the disk for the vendor's answer."
                ) from error
            raise
        return target

    async def place(self, job_id: str, suffix: str) -> Path:
        """Return where a job's file is to be written by somebody else; its folder is there."""
        await asyncio.to_thread(self._root.mkdir, parents=True, exist_ok=True)
        return self._place(job_id, suffix)

    def _place(self, job_id: str, suffix: str) -> Path:
        return self._root / f"{hashlib.sha256(job_id.encode()).hexdigest()[:40]}{suffix}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Remove old files, now and every hour."""
        await asyncio.to_thread(self.clean, time.time())
        task = asyncio.create_task(self._clean_hourly(), name=f"clean:{self._root.name}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def clean(self, now: float) -> int:
        """Remove files last written more than `keep_h` before `now` (seconds since the epoch)."""
        files = [path for path in self._root.iterdir() if path.is_file()] if self._root.is_dir() else []
        removed = 0
        for path in files:
            with suppress(OSError):  # another process cleans too, and a file that stays is tried again
                if now - path.stat().st_mtime > self._keep_s:
                    path.unlink()
                    removed += 1
        return removed

    async def _clean_hourly(self) -> None:
        while True:
            await asyncio.sleep(_CLEAN_S)
            await asyncio.to_thread(self.clean, time.time())


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
