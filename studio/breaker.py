"""A circuit breaker, one per thing that may be away: the database, the cache, a vendor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES, WINDOW_S = 5, 10.0


class Breaker:
    """Opens after 5 failures in a row within 10 s, then lets one probe through every `pause_s`."""

    def __init__(self, pause_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s, self._clock = pause_s, clock
        self._failures: list[float] = []
        self._open_until: float | None = None

    @property
    def wait_s(self) -> float:
        """How long no call may pass; 0 when one may."""
        return max(0.0, (self._open_until or 0.0) - self._clock())

    def allow(self) -> bool:
        """Return whether to try now; a yes while open makes the caller the probe."""
        if self._open_until is None:
            return True
        now = self._clock()
        if now < self._open_until:
            return False
        self._open_until = now + self._pause_s
        return True

    def success(self) -> None:
        """Close, and forget the failures."""
        self._failures.clear()
        self._open_until = None

    def failure(self) -> None:
        """Count one."""
        now = self._clock()
        self._failures = [at for at in self._failures if now - at < WINDOW_S] + [now]
        if len(self._failures) >= FAILURES:
            self._open_until = now + self._pause_s
