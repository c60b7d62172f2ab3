"""For others: one server for the length of a block, as a test run needs it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio_embedded.cache import EmbeddedCache
from studio_embedded.database import EmbeddedDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["EmbeddedCache", "EmbeddedDatabase", "embedded_cache", "embedded_database"]


@asynccontextmanager
async def embedded_database(
    data_dir: Path, *, cache_size: str = "256M", durable: bool = True, start_deadline_s: float = 30.0
) -> AsyncIterator[str]:
    """Run a database in `data_dir` and yield its MongoDB URL; arguments as for `EmbeddedDatabase`."""
    server = EmbeddedDatabase(
        data_dir, cache_size=cache_size, durable=durable, start_deadline_s=start_deadline_s
    )
    async with server as url:
        yield url


@asynccontextmanager
async def embedded_cache(data_dir: Path, *, start_deadline_s: float = 30.0) -> AsyncIterator[str]:
    """Run a cache in `data_dir` and yield its Redis URL; errors as for `EmbeddedServer`."""
    async with EmbeddedCache(data_dir, start_deadline_s=start_deadline_s) as url:
        yield url
