"""Argon2id beside the event loop, two at a time: on two cores 54 ms each, more at once would only starve the rest."""

from __future__ import annotations

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from studio import RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
WORKERS, WAITING = 2, 40
"""Threads, and how many may wait for one: the last of them for about a second."""


class Hashing:
    """Hashes and checks passwords with OWASP's parameters: argon2id, m=19 MiB, t=2, p=1."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="argon2")
        self._running = 0

    async def hash(self, password: str) -> str:
        """Return the hash with its parameters; raises RateLimitedError when too many wait."""
        return await self._beside(lambda: self._hasher.hash(_normal(password)))

    async def verify(self, stored: str, password: str) -> bool:
        """Return whether `password` made the hash; raises RateLimitedError when too many wait."""

        def check() -> bool:
            try:
                return self._hasher.verify(stored, _normal(password))
            except (VerificationError, InvalidHashError):
                return False

        return await self._beside(check)

    def is_old(self, stored: str) -> bool:
        """Return whether the hash was made with other parameters."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Start no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _beside(self, work: Callable[[], T]) -> T:
        if self._running >= WORKERS + WAITING:
            raise RateLimitedError("Too many sign-ins at once; try again.", retry_after=2)
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._running -= 1


def _normal(password: str) -> str:
    """Return one form of what keyboards write differently (RFC 8265 OpaqueString: NFC)."""
    return unicodedata.normalize("NFC", password)
