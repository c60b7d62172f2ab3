"""streaq as a doorbell: one task that carries an id, no retries, no results, no pickle, no signals.

Source of every fact about streaq: its 7.2.0 `worker.py`, to which the dependency is pinned.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from anyio import current_time
from streaq import Worker

from studio import contained

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import CancelScope

    from studio_streaq.settings import StreaqSettings

PRIORITIES = ("low", "normal", "high")
CALL_S = 0.5
"""Longest wait for one ring; after a failure nobody waits for `AWAY_S`: meanwhile the scanner feeds."""
AWAY_S = 5.0
SHORT_S = 1.0
"""streaq looks at delayed tasks twice a second: shorter delays are kept here."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
log = structlog.get_logger("studio.streaq")


class QuietWorker(Worker[None]):
    """A worker that leaves signals to the application and ends when it is told to.

    streaq takes SIGTERM and SIGINT whatever `handle_signals` says: the server under it would never end.
    """

    def __init__(self, *, stop_s: float, **options: Any) -> None:
        super().__init__(handle_signals=False, **options)
        self.up, self.stopping = asyncio.Event(), asyncio.Event()
        self._stop_s = stop_s

    async def signal_handler(self, scope: CancelScope) -> None:
        """Wait for `stopping`, not for a signal; running tasks, shielded from `scope`, get a deadline."""
        self.up.set()
        await self.stopping.wait()
        scope.cancel("stop")
        for running in self._cancel_scopes.values():
            running.deadline = current_time() + self._stop_s

    async def run_consumers(self, receive: Any, *scopes: Any, **options: Any) -> None:
        """Close the stream that streaq clones for each consumer and forgets."""
        with receive:
            await super().run_consumers(receive, *scopes, **options)


class StreaqDoorbell:
    """Carries job ids over Redis. It is a `JobBackend`: it may ring twice, late or never."""

    def __init__(self, url: str, queue: str, settings: StreaqSettings, *, concurrency: int) -> None:
        self._url, self._queue, self._settings, self._concurrency = url, queue, settings, concurrency
        self._step: Callable[[str], Awaitable[None]] | None = None
        self._worker: QuietWorker | None = None
        self._task: Any = None
        self._supervisor: asyncio.Task[None] | None = None
        self._rings: set[asyncio.Task[None]] = set()
        self._away_until = 0.0
        self._stopping = False

    async def start(self, step: Callable[[str], Awaitable[None]] | None) -> None:
        """Begin to work, or only to ring with None; a Redis that is away is waited for in the background."""
        self._step, self._stopping = step, False
        self._supervisor = asyncio.create_task(self._supervise(), name="streaq:supervisor")

    async def enqueue(self, job_id: str, delay_s: float = 0.0, priority: int = 0) -> None:
        """Ring after `delay_s`: polls and positive priorities first. Within 0.5 s it has rung or given up."""
        level = PRIORITIES[(priority > 0) - (priority < 0) + 1] if delay_s <= 0 else "high"
        if not 0 < delay_s < SHORT_S:
            await self._publish(job_id, delay_s, level)
        elif not self._stopping:
            ring = asyncio.create_task(self._publish_later(job_id, delay_s, level))
            self._rings.add(ring)
            ring.add_done_callback(self._rings.discard)

    async def _publish_later(self, job_id: str, delay_s: float, level: str) -> None:
        await asyncio.sleep(delay_s)
        await self._publish(job_id, 0.0, level)

    async def _publish(self, job_id: str, delay_s: float, level: str) -> None:
        if self._worker is None or not self._worker.up.is_set() or time.monotonic() < self._away_until:
            return
        delay = timedelta(seconds=delay_s) if delay_s > 0 else None
        with contained() as failed:  # anyio, coredis and streaq errors mean one thing: nobody was rung
            async with asyncio.timeout(CALL_S):
                await self._task.enqueue(job_id).start(delay=delay, priority=level)
        if failed.error:
            self._away_until = time.monotonic() + AWAY_S
            log.warning("streaq_ring_failed", error=repr(failed.error))

    async def stop(self) -> None:
        """Take no more ids, give running steps `stop_s`, then cut them: their rings go to another worker."""
        self._stopping = True
        for ring in self._rings:
            ring.cancel()
        if self._supervisor is None:
            return
        if self._worker is not None:
            self._worker.stopping.set()
        _, unfinished = await asyncio.wait({self._supervisor}, timeout=self._settings.stop_s + CALL_S)
        for task in unfinished:  # it does not hear: Redis hangs, or is being waited for
            task.cancel()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        self._supervisor = self._worker = None

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping:
            self._worker = self._build()
            with contained() as failed:  # whatever ended the worker, another one takes its place
                await self._run(self._worker)
            if failed.error:
                log.warning("streaq_worker_ended", error=_reason(failed.error), next_try_s=pause)
            pause = FIRST_PAUSE_S if self._worker.up.is_set() else min(pause * 2, LONGEST_PAUSE_S)
            self._worker.up.clear()
            if not self._stopping:
                await self._sleep(pause)

    async def _sleep(self, pause: float) -> None:
        assert self._worker is not None  # noqa: S101 - for the type checker; `_supervise` has just built it
        try:
            async with asyncio.timeout(pause):
                await self._worker.stopping.wait()
        except TimeoutError:
            self._away_until = 0.0

    def _build(self) -> QuietWorker:
        idle = self._settings.idle_s
        worker = QuietWorker(
            stop_s=self._settings.stop_s,
            redis_url=self._url,
            redis_kwargs={
                "connect_timeout": CALL_S * 2,
                "stream_timeout": idle + 2.0,
            },  # a read blocks for `idle`
            concurrency=self._concurrency,
            queue_name=self._queue,
            priorities=list(PRIORITIES),
            prefetch=1,
            serializer=_dump,
            deserializer=orjson.loads,
            idle_timeout=idle,
        )
        step = self._step

        async def ring(job_id: str) -> None:
            if step is not None:
                await step(job_id)

        self._task = worker.task(name="step", max_tries=None, ttl=0, timeout=None, unique=False, silent=True)(
            ring
        )
        return worker

    async def _run(self, worker: QuietWorker) -> None:
        if self._step is not None:
            await worker.run_async()
            return
        async with worker:
            worker.up.set()
            await worker.stopping.wait()


def _dump(value: Any) -> bytes:
    """Serialize what streaq stores; the exceptions it may put in become text."""
    return orjson.dumps(value, default=str)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {str(error)[-200:]}"  # coredis puts a whole pipeline before it
