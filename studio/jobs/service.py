"""`Jobs`: the door to durable jobs, and what runs them."""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from studio.errors import ConflictError, NotFoundError, StudioError, UnauthenticatedError
from studio.jobs.contract import TERMINAL
from studio.jobs.cost import bill_of
from studio.jobs.lanes import Beside
from studio.jobs.machine import Machine
from studio.jobs.orders import Orders
from studio.jobs.outcome import next_attempt
from studio.jobs.scanner import CANCEL_AGAIN_S, QUEUE, LocalDoorbell, Scanner, end, is_paused
from studio.jobs.store import JobStore
from studio.model import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from studio.database import Database
    from studio.dispatch import Dispatcher
    from studio.jobs.contract import JobBackend, JobKind
    from studio.jobs.settings import JobsSettings
    from studio.model import Doc
    from studio.providers.registry import Providers
    from studio.providers.services import WebhookNews
    from studio.web.route import Page


class Jobs(Orders):
    """Durable jobs of `kinds`. Set `backend` before `start`; without one rings stay in this process.

    `public_url` is where vendors can call back; None: they cannot, and are polled.
    """

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        providers: Providers,
        settings: JobsSettings,
        *,
        clock: Callable[[], int] = now_ms,
        public_url: str | None = None,
        observe: Callable[[str, str, float], object] = lambda *_: None,
    ) -> None:
        store = JobStore(database, dispatcher, settings, clock)
        store.observe = observe
        super().__init__(store, Machine(store, providers, settings, public_url))
        self.backend: JobBackend | None = None
        self._machine.ring = self._ring
        self._local = LocalDoorbell(settings.concurrency)
        self._beside = Beside(self._machine.step)
        self._machine.away = self._beside.away
        self._scanner = Scanner(self._store, self._machine, self._local, settings.scan_s)
        self._scanning: asyncio.Task[None] | None = None
        self._works, self._stop_s = settings.worker, settings.stop_s
        self.step = self._machine.step

    def register(self, kinds: Iterable[JobKind]) -> None:
        """Take in a plugin's kinds; a name that another plugin has was refused when they were declared."""
        self._machine.kinds |= {kind.name: kind for kind in kinds}

    async def start(self) -> None:
        """Begin to work, or only to ring when this process is no worker."""
        step = self._beside if self._works else None
        with suppress(StudioError):  # the scanner asks again; but a ring may come before it
            self._machine.paused = await self.paused()
        await self._local.start(step)
        if self.backend is not None:
            await self.backend.start(step)
        if self._works:
            self._scanning = asyncio.create_task(self._scanner.run(), name="jobs:scanner")

    async def stop(self) -> None:
        """Stop taking jobs and wait `stop_s` for running steps; what is cut goes to another process at once."""
        if self._scanning is not None:
            await end([self._scanning])
        doors = [self._local] if self.backend is None else [self._local, self.backend]
        stops = [asyncio.create_task(door.stop()) for door in doors]
        stops.append(asyncio.create_task(self._beside.stop(tuple(stops))))
        try:
            await asyncio.wait(stops, timeout=self._stop_s)
        finally:  # also when this call is cut: nobody may take a job whose step still runs here
            for stop in stops:
                stop.cancel()
            await asyncio.wait(stops, timeout=CANCEL_AGAIN_S)
            await self._local.cut()
            await self._beside.cut()
            with suppress(StudioError):  # the database is away: the leases run out by themselves
                await self._store.give_back()
        for stop in stops:
            if stop.done() and not stop.cancelled():
                stop.result()

    async def _ring(self, job: Doc, delay_s: float) -> None:
        await (self.backend or self._local).enqueue(job["_id"], delay_s, job["priority"])

    async def get(self, job_id: str) -> Doc:
        """Return a job; raises NotFoundError."""
        job = await self._store.jobs.get(job_id)
        if job is None or "kind" not in job:  # whether the queue is paused, or an Idempotency-Key
            raise NotFoundError("There is no such job.")
        return job

    async def page(
        self, project_id: str, *, batch_id: str | None = None, state: str | None = None,
        cursor: str | None = None, limit: int = 50,
    ) -> Page:  # fmt: skip
        """Return a project's jobs, newest first."""
        where = {"project_id": project_id, "batch_id": batch_id, "state": state}
        chosen = {key: value for key, value in where.items() if value is not None}
        return await self._store.jobs.page(chosen, cursor=cursor, limit=limit, newest_first=True)

    async def cancel(self, job_id: str) -> Doc:
        """Cancel a job: a queued one at once, one under way as soon as its provider was told ("cancelling").

        Raises ConflictError when its result is being stored, or it has ended otherwise.
        """
        job = await self.get(job_id)
        while job["state"] not in ("cancelling", "cancelled"):
            now = self._store.now()
            if job["state"] == "finalizing" or job["state"] in TERMINAL:
                raise ConflictError(f"The job is {job['state']} and cannot be cancelled any more.")
            if job["state"] == "queued":
                done = await self._store.end(
                    job, "cancelled", bill_of(job, None), {"cancel_requested_at": now}
                )
            else:
                fields = {"cancel_requested_at": now} | (
                    {"next_at": now} if job["state"] == "submitted" else {}
                )
                done = await self._store.change(job, "cancelling", fields)
            if done is not None:
                await self._ring(done, 0.0)
            job = done or await self.get(job_id)
        return job

    async def cancel_pending(self, *, project_id: str | None = None, batch_id: str | None = None) -> int:
        """Cancel the queued jobs of a batch or a project, leave what is under way; returns how many."""
        where = {"batch_id": batch_id} if batch_id is not None else {"project_id": project_id}
        jobs = await self._store.jobs.find({**where, "state": "queued"})
        fields = {"cancel_requested_at": self._store.now()}
        ends = [await self._store.end(job, "cancelled", bill_of(job, None), fields) for job in jobs]
        return sum(end is not None for end in ends)

    async def retry(self, job_id: str) -> Doc:
        """Begin another attempt of a failed or cancelled job, also of one whose charge is unknown.

        Raises ConflictError while it runs or is being settled, BudgetExceededError when refused.
        """
        job = await self.get(job_id)
        if job["state"] not in ("failed", "cancelled") or "next_at" in job:
            raise ConflictError(
                f"The job is {job['state']} or not settled yet: only an ended job can be retried."
            )
        fields = next_attempt(job, self._store.now(), job.get("error")) | self._store.leased()
        kind = self._machine.kinds[job["kind"]]
        fields |= {
            "max_attempts": job["attempt"] + kind.max_attempts,
            "crashes": 0,
            "ready_at": self._store.now(),
        }
        if "dedupe_hash" in job:
            fields["dedupe_active"] = True
        gone = (
            "provider_job_id", "generation", "started_at", "finished_at", "error", "cancel_requested_at",
            "cost_uusd", "cost_source",
        )  # fmt: skip
        async with self._machine.busy(job_id):
            waiting = await self._store.change(job, "waiting", fields, unset=(*gone, "tried"))
            queued = await self._machine.admit(waiting) if waiting else None
        return queued or await self.get(job_id)

    async def hear(
        self, provider: str, news: WebhookNews, token: str | None = None
    ) -> Literal["heard", "unknown", "ignored"]:
        """Follow a vendor's verified call: its end of a job is claimed as a poll's would be, else it is polled now.

        "unknown": no such job, or none yet that can take it: try again later. "ignored": it ended before.
        Raises UnauthenticatedError for a `token` that is not the job's; compared in constant time.
        """
        where = {"provider": provider, "provider_job_id": news.provider_job_id}
        job = await self._store.jobs.find_one(where) if news.provider_job_id else None
        if job is None or job["state"] == "cancelling" or job["kind"] not in self._machine.kinds:
            return "unknown"
        mine = job.get("callback_token", "").encode()
        if token is not None and not (mine and hmac.compare_digest(token.encode(), mine)):
            raise UnauthenticatedError("This address was not given for this job.", code="webhook_token")
        return "heard" if await self._machine.hear(job, news.generation) else "ignored"

    async def pause(self, *, paused: bool = True) -> None:
        """Leave queued jobs where they are (or not), in every process within a scan; jobs under way go on."""
        await self._store.jobs.update(QUEUE, {"$set": {"paused": paused}}, upsert=True)
        self._machine.paused = paused

    async def paused(self) -> bool:
        """Return whether queued jobs stay where they are."""
        return await is_paused(self._store.jobs)
