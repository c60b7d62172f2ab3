"""The state machine: `step` takes a job one move further, whoever rings and however often.

"claimed" is the checkpoint "submitting": the request is built before it, so from then on the vendor may have
been reached (`sent` names the attempt). A job that answers at once takes 5 writes: waiting, queued, claimed,
finalizing (with the vendor's id and answer: a crash loses no paid result), succeeded. A polled one adds
submitted, and one write per poll.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from studio.errors import (
    OutcomeUnknownError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StudioError,
    UnavailableError,
)
from studio.jobs.contract import TERMINAL, CostHold, CostSettlement
from studio.jobs.cost import bill_of, hold_cost, settle_cost
from studio.jobs.outcome import Outcomes, failure_of
from studio.providers.contract import GenerationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio.jobs.settings import JobsSettings
    from studio.jobs.store import JobStore
    from studio.model import Doc
    from studio.providers import BoundProvider, Providers
    from studio.providers.contract import Generation
    from studio.providers.requests import GenerationRequest

EARLY_MS = 50
"""A ring this much too early still counts: timers are not exact."""
GRACE_MS = 2_000
"""How long a queued job may wait for its ring before the scanner takes it."""
PLUGIN_OFF_MS = 60_000
REPEAT_WRITE_S = (0.5, 1.5, 3.0)
"""Pauses before a vendor's answer is written again while the database is away: it comes only once."""
PROGRESS_POINTS = 10
INTERRUPTED = "interrupted_unknown_charge"
log = structlog.get_logger("studio.jobs")


class Machine(Outcomes):
    """Steps jobs of `kinds`; while `paused`, queued ones stay where they are."""

    def __init__(self, store: JobStore, providers: Providers, settings: JobsSettings) -> None:
        super().__init__(store, providers, settings)
        self.paused = False
        self._busy: set[str] = set()
        self._missed: set[str] = set()

    @asynccontextmanager
    async def busy(self, *job_ids: str) -> AsyncIterator[None]:
        """Keep other rings of this process away from these jobs; ring again for those that came."""
        self._busy.update(job_ids)
        try:
            yield
        finally:
            self._busy.difference_update(job_ids)
            missed = self._missed.intersection(job_ids)
            self._missed -= missed
        for job_id in missed:
            await self.ring({"_id": job_id, "priority": 0}, 0.0)

    async def step(self, job_id: str) -> None:
        """Take one job one move further. Raises nothing: failures are counted, the scanner comes again."""
        if job_id in self._busy:
            self._missed.add(job_id)
            return
        async with self.busy(job_id):
            try:
                job = await self._store.jobs.get(job_id)
                if job is not None and "next_at" in job:
                    await self._route(job)
            except StudioError as error:
                log.warning("job_step_failed", job_id=job_id, code=error.code, detail=error.detail)
            except (
                Exception
            ) as error:  # the boundary to kinds and providers: a job that breaks its step is counted
                log.exception("job_step_crashed", job_id=job_id)
                with suppress(StudioError):
                    await self._put_off(
                        job_id, self._retry_s * 1000, {"fault": type(error).__name__}, crashes=1
                    )

    async def _route(self, job: Doc) -> None:
        if job["kind"] not in self.kinds:
            if job["next_at"] <= self._store.now():
                await self._put_off(job["_id"], PLUGIN_OFF_MS)
        elif job["state"] not in TERMINAL:
            await getattr(self, f"_{job['state']}")(job)
        elif "bill" in job:
            await self._store.settle(job)
        elif "generation" in job:
            await self._finalizing(job)
        else:
            await self._submitted(job)

    async def _request(self, job: Doc) -> GenerationRequest:
        request = await self._kind(job).request(job)
        return request.model_copy(update={"job_id": f"{job['_id']}-{job['attempt']}"})

    # ---------------------------------------------------------------- waiting: price, hold

    async def price(self, job: Doc) -> None:
        """Choose the provider and set `provider`, `repeatable` and `estimate_uusd`, in memory only."""
        bound = self._providers.get(self._kind(job).capability, job["wanted"], job["model"])
        job |= {"provider": bound.name, "repeatable": bound.spec.idempotent_submit}
        job["estimate_uusd"] = bound.estimate(await self._request(job)).cost_uusd

    async def hold(self, job: Doc) -> None:
        """Ask for the estimated cost of this attempt; raises when the owner of cost says no, or nothing."""
        keys = ("_id", "attempt", "project_id", "user_id", "provider", "model", "estimate_uusd")
        await hold_cost(self._store.dispatcher, CostHold(*(job[key] for key in keys)))

    async def admit(self, job: Doc) -> Doc | None:
        """Price, hold and queue a waiting job that is this process's; a refusal fails it and is raised."""
        paid = job.get("bill")
        if paid and not await settle_cost(self._store.dispatcher, CostSettlement(job["_id"], **paid)):
            return None  # the last attempt is not settled yet: the lease runs out and the scanner asks again
        try:
            await self.price(job)
            await self.hold(job)
        except StudioError as error:
            await self.refuse(job, error)
            raise
        delay_ms = max(0, job["ready_at"] - self._store.now())
        fields = {key: job[key] for key in ("provider", "repeatable", "estimate_uusd")}
        fields |= {"queued_at": self._store.now(), "next_at": self._store.now() + delay_ms + GRACE_MS}
        queued = await self._store.change(job, "queued", fields, unset=("lease_owner", "bill"))
        if queued is None:
            await self.overtaken(job, {"sent": 0})
        else:
            await self.ring(queued, delay_ms / 1000)
        return queued

    async def refuse(self, job: Doc, error: StudioError) -> None:
        """Fail a waiting job that was not admitted."""
        await self._store.end(job, "failed", bill_of(job, None), {"error": failure_of(error).model_dump()})

    async def overtaken(self, job: Doc, found: Doc) -> None:
        """Keep what was found while somebody moved the job, and finish a cancellation that waits for us."""
        where = {"_id": job["_id"], "attempt": job["attempt"], "state": {"$in": ["cancelling", *TERMINAL]}}
        if await self._store.jobs.update(where, {"$set": found}):
            fresh = await self._store.jobs.get(job["_id"])
            if fresh is not None and fresh["state"] == "cancelling":
                await self._cancelling(fresh)

    async def _waiting(self, job: Doc) -> None:
        mine = await self._take(job)
        if mine is not None:
            await self.admit(mine)

    # ---------------------------------------------------------------- queued: claim, submit

    async def _queued(self, job: Doc) -> None:
        if self.paused or job["ready_at"] > self._store.now() + EARLY_MS or await self._poisoned(job):
            return
        try:
            bound, request = self._provider(job), await self._request(job)
        except ProviderUnavailableError as error:
            await self._later(job, error)
        except StudioError as error:
            if isinstance(error, UnavailableError):
                raise
            await self._fail(job, failure_of(error))
        else:
            fields = {"sent": job["attempt"], "started_at": job.get("started_at", self._store.now())}
            claimed = await self._store.change(job, "claimed", self._store.leased() | fields)
            if claimed is not None:
                await self._submit(claimed, bound, request)

    async def _submit(self, job: Doc, bound: BoundProvider, request: GenerationRequest) -> None:
        found: Doc = {"sent": 0}
        async with self._store.lease(job):
            try:
                generation = await bound.submit(request)
            except ProviderUnavailableError as error:
                done = await self._later(job, error)
            except OutcomeUnknownError as error:
                found = {"sent": job["attempt"]}
                done = await self._fail(job, GenerationError(code=INTERRUPTED, message=error.detail))
            except StudioError as error:
                done = await self._fail(job | found, failure_of(error), retry_after=error.retry_after)
            else:
                found = {"provider_job_id": generation.provider_job_id}
                if generation.state == "succeeded":
                    found["generation"] = generation.model_dump(mode="json")
                done = await self._advance(job, generation)
        if done is None:
            await self.overtaken(job, found)

    async def _later(self, job: Doc, error: ProviderUnavailableError) -> Doc | None:
        if error.retry_after is None or self._overdue(job):
            return await self._fail(job | {"sent": 0}, failure_of(error, retryable=False))
        return await self._requeue(job, {"sent": 0}, error.retry_after)

    async def _requeue(self, job: Doc, fields: Doc, delay_s: float = 0.0) -> Doc | None:
        """Queue the same attempt again: it was never sent, or the provider takes it twice for one."""
        ready = self._store.now() + int(delay_s * 1000)
        fields |= {"ready_at": ready, "next_at": ready + GRACE_MS}
        queued = await self._store.change(job, "queued", fields, unset=("lease_owner", "provider_job_id"))
        if queued is not None:
            await self.ring(queued, delay_s)
        return queued

    async def _claimed(self, job: Doc) -> None:
        mine = await self._take(job)
        if mine is not None and mine["repeatable"]:
            await self._requeue(mine, {})
        elif mine is not None:
            message = (
                "The worker ended while it sent the request. Look at the provider's bill before you retry."
            )
            await self._fail(mine, GenerationError(code=INTERRUPTED, message=message))

    # ---------------------------------------------------------------- submitted: poll

    async def _submitted(self, job: Doc) -> None:
        """Poll when it is time; also a cancelled job of which we do not know yet how it ends."""
        if job["next_at"] > self._store.now() + EARLY_MS:
            return
        if self._overdue(job):
            await self._cancel_at_vendor(job)
            message = f"No result within {self._kind(job).deadline_s:g} s."
            await self._fail(job, GenerationError(code="deadline_exceeded", message=message))
            return
        turn = {key: job[key] for key in ("_id", "state_seq", "next_at")}
        delay = self._kind(job).poll_s * min(10.0, 1.5 ** job["polls"])
        mine = {"next_at": self._store.now() + int(delay * 1000), "polls": job["polls"] + 1}
        if await self._store.jobs.update(turn, {"$set": mine}):
            await self._poll(job | mine, delay)

    async def _poll(self, job: Doc, delay: float) -> None:
        try:
            generation = await self._provider(job).poll(job["provider_job_id"])
        except ProviderRejectedError as error:
            if job["repeatable"] and job["state"] == "submitted":  # its memory died with its process
                await self._requeue(job, {"crashes": job["crashes"] + 1, "fault": error.code})
            else:
                await self._fail(job, failure_of(error))
        except StudioError as error:
            log.warning("job_poll_failed", job_id=job["_id"], code=error.code, detail=error.detail)
            await self.ring(job, delay)
        else:
            await self._advance(job, generation, delay)

    async def _advance(self, job: Doc, generation: Generation, delay: float = 0.0) -> Doc | None:
        """Follow what the vendor said; None: the job was moved by somebody else meanwhile."""
        if generation.state in ("failed", "cancelled"):
            error = generation.error or GenerationError(
                code="provider_failed", message="The provider gave no reason."
            )
            return await self._fail(job, error, generation)
        if generation.state == "running":
            return await self._wait(
                job, generation, generation.retry_after_s or delay or self._kind(job).poll_s
            )
        state = "cancelled" if job["state"] == "cancelled" else "finalizing"
        fields = {
            "provider_job_id": generation.provider_job_id,
            "generation": generation.model_dump(mode="json"),
        }
        done = await self._store.change(job, state, self._store.leased() | fields, waits=REPEAT_WRITE_S)
        if done is not None:
            await self._accept(done)
        return done

    async def _wait(self, job: Doc, generation: Generation, delay: float) -> Doc | None:
        pct = generation.percent or job["progress"]["pct"]
        shown = job | {
            "progress": {"pct": pct, "stage": "provider"},
            "provider_job_id": generation.provider_job_id,
        }
        fields = {"next_at": self._store.now() + int(delay * 1000)}
        if job["state"] == "claimed":
            fields |= {key: shown[key] for key in ("progress", "provider_job_id")}
            unset = ("lease_owner",)
            done = await self._store.change(job, "submitted", fields, unset=unset, waits=REPEAT_WRITE_S)
        else:
            done = job
            if pct - job["progress"]["pct"] >= PROGRESS_POINTS or generation.retry_after_s:
                fields["progress"] = shown["progress"]
                await self._store.jobs.update(
                    {"_id": job["_id"], "state_seq": job["state_seq"]}, {"$set": fields}
                )
            if pct != job["progress"]["pct"]:
                self._store.tell(shown)
        if done is not None:
            await self.ring(done, delay)
        return done
