"""Files written whole or not at all, and what a full disk looks like."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from studio import StorageFullError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk is full, the quota is used up, or the file would pass the process's file size limit."""


@contextmanager
def storage_full_as_error(what: str) -> Iterator[None]:
    """Turn "no space left" into StorageFullError; every other OSError passes."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            message = f"There is no room left on the disk for {what}: free some space, then retry."
            raise StorageFullError(message) from error
        raise


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that takes its place at the end; on any error nothing is left.

    The bytes are on the disk (fsync) before the name is. Raises StorageFullError.
    """
    with _part_of(target) as part:
        yield part
        _settle(part, target)


@asynccontextmanager
async def replacing_later(target: Path) -> AsyncIterator[Path]:
    """Do the same without making the event loop wait for the disk."""
    with _part_of(target) as part:
        yield part
        await asyncio.to_thread(_settle, part, target)


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    with storage_full_as_error(target.name):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".part-{secrets.token_hex(8)}{target.suffix}")
        try:
            part.touch(exist_ok=False)
            yield part
        finally:
            part.unlink(missing_ok=True)


def _settle(part: Path, target: Path) -> None:
    sync(part)
    part.replace(target)


def link(name: Path, target: Path) -> None:
    """Give `target` a plain name in a scratch folder: ffmpeg reads `%`, `:` and quotes as syntax."""
    if not name.is_symlink():
        name.symlink_to(target.absolute())


def sync(path: Path) -> None:
    """Wait until the bytes of `path` are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def joined(parts: Iterable[Path], target: Path) -> None:
    """Write the bytes of `parts`, one after the other, to `target`; raises StorageFullError."""
    with storage_full_as_error(target.name), target.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole)


def write_whole(target: Path, data: bytes) -> None:
    """Write `data` to `target` atomically; raises StorageFullError."""
    with replacing(target) as part:
        part.write_bytes(data)


def write_once(target: Path, data: bytes) -> bool:
    """Write `data` unless `target` is there already, atomically between processes; say whether it was written."""
    with _part_of(target) as part:
        part.write_bytes(data)
        sync(part)
        try:
            target.hardlink_to(part)
        except FileExistsError:
            return False
        return True


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
