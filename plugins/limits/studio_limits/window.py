"""One rate, counted in this process: a moving window made of two fixed ones, half a microsecond a call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from studio_limits.settings import Rate

SHARED_CALLERS = 200
"""So many busy callers are told of in one round; the others wait for the next."""


class Window:
    """Counts calls by caller. What the last fixed window saw weighs less and less while this one goes on.

    Two dictionaries that take turns forget by themselves: nothing has to be swept. Windows begin at whole
    multiples of their length since 1970, so that all processes share them.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.time) -> None:
        self.rate = rate
        self._most, self._length, self._clock = rate.calls - 1, rate.seconds, clock
        self._share_from = max(1, rate.calls // 4)
        self._number, self._begins, self._ends = 0, 0.0, 0.0
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._elsewhere: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._busy: set[str] = set()

    def hit(self, caller: str) -> float:
        """Count a call and return 0, or count nothing and return after how many seconds to try again."""
        now = self._clock()
        if not self._begins <= now < self._ends:
            self._turn(now)
        own = self._now.get(caller, 0)
        if own >= self._share_from:
            self._busy.add(caller)
            count = own + self._elsewhere.get(caller, 0)
        else:
            count = own
        before = self._before.get(caller, 0)
        if count + before * (self._ends - now) / self._length > self._most:
            return self._refusal(count, before, self._ends - now)
        self._now[caller] = own + 1
        return 0.0

    def wait(self, caller: str) -> float:
        """Return what `hit` would, and count nothing."""
        now = self._clock()
        if not self._begins <= now < self._ends:
            self._turn(now)
        count, before = self._now.get(caller, 0) + self._elsewhere.get(caller, 0), self._before.get(caller, 0)
        left = self._ends - now
        full = count + before * left / self._length > self._most
        return self._refusal(count, before, left) if full else 0.0

    def _refusal(self, count: int, before: int, left: float) -> float:
        if count <= self._most:  # there is room once the last window has faded so far
            return max(0.001, left - self._length * (self._most - count) / before)
        return left + self._length * (1 - self._most / count)

    async def share(self, name: str, add: Callable[[str, int, float], Awaitable[int | None]]) -> None:
        """Add what busy callers did here to what they did in the other processes, and hear the sum.

        `add(key, by, ttl_s)` returns the sum that Redis keeps, None while it is away.
        """
        number, busy = self._number, [*self._busy][:SHARED_CALLERS]
        for caller in busy:
            self._busy.discard(caller)
            fresh = self._now.get(caller, 0) - self._told.get(caller, 0)
            total = await add(f"limits:{name}:{number}:{caller}", fresh, 2 * self._length)
            if number != self._number:
                return  # the window has turned meanwhile: the sum is of the last one
            if total is None:
                self._busy.add(caller)
                return  # Redis is away: each process goes on with what it has seen itself
            self._told[caller] = self._told.get(caller, 0) + fresh
            self._elsewhere[caller] = max(0, total - self._told[caller])

    def _turn(self, now: float) -> None:
        number = int(now // self._length)
        last = self._now if number == self._number + 1 else {}
        for caller, count in self._elsewhere.items() if last else ():
            last[caller] = last.get(caller, 0) + count
        self._number, self._begins, self._ends = number, number * self._length, (number + 1) * self._length
        self._before, self._now, self._elsewhere, self._told = last, {}, {}, {}
        self._busy.clear()
