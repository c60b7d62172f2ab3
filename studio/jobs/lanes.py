"""Bulkheads: how many steps of this process may wait for one provider, so that a silent one leaves room for others."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from studio.jobs.scanner import end

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterator

    from studio.model import Doc


class Beside:
    """Runs steps beside whoever rang: a worker is free again when its step has ended, or waits for a vendor."""

    def __init__(self, step: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._step = step
        self._left: dict[asyncio.Task[None], asyncio.Event] = {}

    async def __call__(self, job_id: str) -> None:
        """Begin a step, and return when it has ended or is away; what it raises is not heard."""
        task, left = asyncio.create_task(self._step(job_id)), asyncio.Event()
        self._left[task] = left
        task.add_done_callback(self._ended)
        await left.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._left.pop(task).set()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Free the worker of the step that calls this; what follows in that step is done without one."""
        task = asyncio.current_task()
        if task in self._left:
            self._left[task].set()
        yield

    async def stop(self, after: Collection[asyncio.Task[None]]) -> None:
        """Wait for the steps, once nobody (`after`) begins any; cancelling this call leaves them to `cut`."""
        await asyncio.wait(after)
        while self._left:
            await asyncio.wait(list(self._left))

    async def cut(self) -> None:
        """Cancel the steps that still run, and wait until they have ended."""
        await end(self._left)


class Lanes:
    """At most `limit` steps of a provider at a time; jobs above that are parked here, by id and priority."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy: Counter[str] = Counter()
        self._parked: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._where: dict[str, str] = {}

    def full(self) -> list[str]:
        """Return the providers that take no more for now."""
        return [provider for provider, count in self._busy.items() if count >= self._limit]

    def holds(self, job_id: str) -> bool:
        """Say whether a job is parked and its turn has not come: then a ring for it says nothing new."""
        return job_id in self._where and self._busy[self._where[job_id]] >= self._limit

    def enter(self, provider: str) -> bool:
        """Take a lane, to be given back by `leave`; False when none is free."""
        free = self._busy[provider] < self._limit
        self._busy[provider] += free
        return free

    def park(self, job: Doc) -> None:
        """Keep a job until `leave` names it, or it comes again while a lane is free."""
        self._where[job["_id"]] = job["provider"]
        self._parked[job["provider"]][job["_id"]] = job["priority"]

    def unpark(self, job_id: str) -> None:
        """Forget a job that has come again; nothing for one that is not parked."""
        if provider := self._where.pop(job_id, None):
            del self._parked[provider][job_id]

    def leave(self, provider: str) -> Doc | None:
        """Give a lane back, and return the `_id` and priority of the parked job that is next."""
        self._busy[provider] -= 1
        parked = self._parked[provider]
        if not parked:
            return None
        job_id = max(parked, key=parked.__getitem__)  # of equals the first that came
        found = {"_id": job_id, "priority": parked[job_id]}
        self.unpark(job_id)
        return found
