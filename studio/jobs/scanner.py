"""The worker pool of this process, and the scanner that feeds it with whatever nobody rang for."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from studio.errors import StudioError
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from studio.database import Repository
    from studio.jobs.machine import Machine
    from studio.jobs.store import JobStore
    from studio.model import Doc

PAGE = 100
QUEUE = "queue"
"""The `_id` of a document in `jobs` that is no job (it has no `kind`): whether the queue is paused."""
CANCEL_AGAIN_S = 0.2
HELD = ("waiting", "claimed", "finalizing", "cancelling")
log = get_logger("studio.jobs")


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: Python 3.11 loses a cancellation that falls into a `wait_for` of the driver."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN_S)


async def is_paused(jobs: Repository) -> bool:
    """Return whether queued jobs stay where they are."""
    return bool((await jobs.get(QUEUE) or {}).get("paused"))


class LocalDoorbell:
    """The engine without an engine: rings wait in this process, polls before new jobs, an id at most once."""

    def __init__(self, concurrency: int) -> None:
        self._queue: asyncio.PriorityQueue[tuple[int, int, int, str]] = asyncio.PriorityQueue()
        self._order, self._concurrency = itertools.count(), concurrency
        self._queued: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._started: list[asyncio.Task[None]] = []

    async def start(self, step: Callable[[str], Awaitable[None]] | None) -> None:
        """Begin to work; with None there is nobody to ring for."""
        if step is not None:
            self._workers = [asyncio.create_task(self._work(step)) for _ in range(self._concurrency)]
            self._started = self._workers

    async def enqueue(self, job_id: str, delay_s: float = 0.0, priority: int = 0) -> None:
        """Ring after `delay_s`; a later ring for the same id replaces one that still waits for its time."""
        if not self._workers:
            return
        if timer := self._timers.pop(job_id, None):
            timer.cancel()
        if delay_s > 0:
            loop = asyncio.get_running_loop()
            self._timers[job_id] = loop.call_later(delay_s, self._put, job_id, 1, priority)
        else:
            self._put(job_id, 2, priority)

    def _put(self, job_id: str, rank: int, priority: int) -> None:
        self._timers.pop(job_id, None)
        if job_id not in self._queued:
            self._queued.add(job_id)
            self._queue.put_nowait((rank, -priority, next(self._order), job_id))

    async def _work(self, step: Callable[[str], Awaitable[None]]) -> None:
        while job_id := (await self._queue.get())[-1]:
            self._queued.discard(job_id)
            await step(job_id)

    async def stop(self) -> None:
        """Take no more ids and wait for the running steps; cancelling this call cancels them."""
        workers, self._workers = self._workers, []
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for _ in workers:
            self._queue.put_nowait((0, 0, next(self._order), ""))
        await asyncio.gather(*workers)

    async def cut(self) -> None:
        """Cancel the steps that still run, and wait until they have ended."""
        self._workers = []
        await end(self._started)


class Scanner:
    """Finds every `scan_s` the jobs whose `next_at` has come: lost rings, polls, dead workers, open bills."""

    def __init__(self, store: JobStore, machine: Machine, doorbell: LocalDoorbell, scan_s: float) -> None:
        self._jobs, self._now, self._machine = store.jobs, store.now, machine
        self._doorbell, self._scan_s = doorbell, scan_s

    async def run(self) -> None:
        """Scan for ever; at first look at every held job: its owner may have died with our forerunner."""
        where: Doc = {"next_at": {"$gt": self._now()}, "state": {"$in": HELD}}
        while True:
            try:
                if where:
                    for job in await self._jobs.find(where, fields=["_id"]):
                        await self._doorbell.enqueue(job["_id"])
                    where = {}
                await self.scan()
            except StudioError as error:
                log.warning("job_scan_failed", code=error.code, detail=error.detail)
            await asyncio.sleep(self._scan_s)

    async def scan(self) -> None:
        """Ring for one page of jobs under way and one of queued ones, each where it has waited longest."""
        found = await self._due({"$ne": "queued"}, "submitted", self._machine.polls.full())
        self._machine.paused = await is_paused(self._jobs)
        if not self._machine.paused:
            found += await self._due("queued", "queued", self._machine.lanes.full())
        for job in found:
            await self._doorbell.enqueue(job["_id"], 0.0, job.get("priority", 0))

    async def _due(self, state: Any, parked: str, full: Sequence[str]) -> list[Doc]:
        where: Doc = {"next_at": {"$gt": 0, "$lte": self._now()}, "state": state}
        if full:  # a page of those that are `parked` for a provider would hide all others
            where["$or"] = [{"state": {"$ne": parked}}, {"provider": {"$nin": full}}]
        return await self._jobs.find(where, sort=[("next_at", 1)], limit=PAGE, fields=["priority"])
