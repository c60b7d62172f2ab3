"""Deadlines of requests: one timer for all that have the same allowance.

`asyncio.timeout` makes, arms and disarms a timer for each request (4 µs); almost none ever fires.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any


class Deadline:
    """Ends tasks after `seconds`. Use `begin` before the work, and `end` in its `finally`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: dict[asyncio.Task[Any], float] = {}  # oldest first: all have the same allowance
        self._late: set[asyncio.Task[Any]] = set()
        self._armed = False

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Count the time of `task` from now."""
        self._running[task] = time.monotonic()
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_later(self.seconds, self._sweep)

    def passed(self, task: asyncio.Task[Any]) -> bool:
        """Return whether the CancelledError that `task` has caught came from here, and from nobody else."""
        if task not in self._late:
            return False
        self._late.remove(task)
        return task.uncancel() == 0

    def end(self, task: asyncio.Task[Any]) -> None:
        """Stop counting; a cancellation that the handler has swallowed is taken back."""
        if not self._running.pop(task, None):
            self.passed(task)

    def _sweep(self) -> None:
        now = time.monotonic()
        while self._running:
            task = next(iter(self._running))
            if (left := self._running[task] + self.seconds - now) > 0:
                asyncio.get_running_loop().call_later(left, self._sweep)
                return
            del self._running[task]
            self._late.add(task)
            task.cancel()
        self._armed = False
