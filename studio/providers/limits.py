"""What all calls to one provider share: how many at a time, how many per period, and the pause it asked for."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

from studio.errors import ProviderUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BUSY = "provider_busy"
"""It works, and takes no more calls for the moment: that is waited for, and no reason to ask another provider."""
LONGEST_PAUSE_S = 60.0
"""A vendor that asks for more is asked again after this."""
WAIT_S = 5.0
"""How long a call waits for its turn; then it is told to come back, and holds no worker."""


class Limits:
    """`rate` is "calls/seconds", e.g. "10/1"; None: no limit but that of calls at a time."""

    def __init__(
        self, concurrency: int, rate: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots, self._clock, self._until, self._rate = asyncio.Semaphore(concurrency), clock, 0.0, None
        if rate is not None:
            calls, _, seconds = rate.partition("/")
            self._rate = AsyncLimiter(float(calls), float(seconds))

    @property
    def wait_s(self) -> float:
        """How long the vendor wants no call; 0 when it takes one."""
        return max(0.0, self._until - self._clock())

    def pause(self, seconds: float) -> None:
        """Keep every call away for so long: the vendor has answered 429 to one of them."""
        self._until = max(self._until, self._clock() + min(seconds, LONGEST_PAUSE_S))

    def ready(self, name: str) -> None:
        """Raise ProviderUnavailableError, saying when to come back, while the vendor wants no call."""
        if wait := self.wait_s:
            detail = f"{name} asked for a pause of {wait:.0f} s."
            raise ProviderUnavailableError(detail, code=BUSY, retry_after=wait)

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn; raises ProviderUnavailableError saying when to come back."""
        self.ready(name)
        full = f"{name} has as many calls under way as it may have at a time."
        async with AsyncExitStack() as slot:
            try:
                async with asyncio.timeout(WAIT_S):
                    await slot.enter_async_context(self._slots)
                    if self._rate is not None:
                        full = f"{name} may be asked {self._rate.max_rate:g} times in {self._rate.time_period:g} s."
                        await self._rate.acquire()
            except TimeoutError as error:
                raise ProviderUnavailableError(full, code=BUSY, retry_after=WAIT_S) from error
            yield
