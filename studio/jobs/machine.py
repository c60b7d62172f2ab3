"""The state machine: `step` takes a job one move further, whoever rings and however often.

"claimed" is the checkpoint "submitting": the request is built before it, so from then on the vendor may have
been reached (`sent` names the attempt). A job that answers at once takes 5 writes: waiting, queued, claimed,
finalizing (with the vendor's id and answer: a crash loses no paid result), succeeded. A polled one adds
submitted, and one write per poll.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from studio.boundary import contained
from studio.errors import (
    OutcomeUnknownError,
    ProviderUnavailableError,
    StudioError,
    UnavailableError,
)
from studio.jobs.contract import TERMINAL, CostHold, CostSettlement
from studio.jobs.cost import bill_of, hold_cost, settle_cost
from studio.jobs.outcome import LONGEST_PAUSE_S, failure_of, spread
from studio.jobs.polling import EARLY_MS, GRACE_MS, Polling
from studio.providers.contract import GenerationError
from studio.providers.limits import BUSY
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio.jobs.settings import JobsSettings
    from studio.jobs.store import JobStore
    from studio.model import Doc
    from studio.providers.registry import Providers
    from studio.providers.requests import GenerationRequest
    from studio.providers.wrapper import BoundProvider

PLUGIN_OFF_MS = 60_000
CROWDED_MS = 1_000
UNDER_WAY = ["claimed", "submitted", "finalizing"]
INTERRUPTED = "interrupted_unknown_charge"
log = get_logger("studio.jobs")


class Machine(Polling):
    """Steps jobs of `kinds`; while `paused`, queued ones stay where they are."""

    def __init__(
        self, store: JobStore, providers: Providers, settings: JobsSettings, public_url: str | None = None
    ) -> None:
        super().__init__(store, providers, settings)
        self.paused, self.public_url, self._user_limit = False, public_url, settings.user_concurrency
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
        if self.lanes.holds(job_id) or self.polls.holds(job_id):
            return
        if job_id in self._busy:
            self._missed.add(job_id)
            return
        self.lanes.unpark(job_id)
        self.polls.unpark(job_id)
        async with self.busy(job_id):
            with contained() as failed:  # kinds and providers: a job that breaks its step is counted
                job = await self._store.jobs.get(job_id)
                if job is not None and "next_at" in job:
                    await self._route(job)
            if failed.error:
                await self._broke(job_id, failed.error)

    async def _broke(self, job_id: str, error: BaseException) -> None:
        if isinstance(error, StudioError):
            log.warning("job_step_failed", job_id=job_id, code=error.code, detail=error.detail)
            return
        log.error("job_step_crashed", job_id=job_id, exc_info=error)
        with suppress(StudioError):
            await self._put_off(job_id, self._retry_s * 1000, {"fault": type(error).__name__}, crashes=1)

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

    async def _request(self, job: Doc, bound: BoundProvider) -> GenerationRequest:
        request = await self._kind(job).request(job)
        number = job.get("same_as") or job["attempt"]
        fields = {"job_id": f"{job['_id']}-{number}", "callback_url": self._callback(job, bound)}
        return request.model_copy(update=fields)

    def _callback(self, job: Doc, bound: BoundProvider) -> str | None:
        """Return where the vendor may call about this attempt; None when it cannot."""
        if self.public_url is None or not bound.spec.webhooks or "callback_token" not in job:
            return None
        query = urlencode({"job": job["_id"], "attempt": job["attempt"], "token": job["callback_token"]})
        return f"{self.public_url}/api/webhooks/{bound.name}?{query}"

    # ---------------------------------------------------------------- waiting: price, hold

    async def price(self, job: Doc) -> None:
        """Choose the provider and set `provider`, `repeatable` and `estimate_uusd`, in memory only."""
        kind = self._kind(job)
        request = await kind.request(job)
        tried = job.get("tried", ())
        bound = self._providers.get(
            kind.capability, job["wanted"], job["model"], request=request, without=tried
        )
        job |= {"provider": bound.name, "repeatable": bound.spec.idempotent_submit}
        job["estimate_uusd"] = bound.estimate(request).cost_uusd

    async def hold(self, job: Doc) -> None:
        """Ask for the estimated cost of this attempt; raises when the owner of cost says no, or nothing."""
        hold = CostHold(
            job["_id"], job["attempt"], job["project_id"], job["user_id"], job["provider"], job["model"],
            job["estimate_uusd"], job.get("api_key_id"),
        )  # fmt: skip
        await hold_cost(self._store.dispatcher, hold)

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
        if await self._crowded(job):
            await self._put_off(job["_id"], CROWDED_MS)
        elif not self.lanes.enter(job["provider"]):
            self.lanes.park(job)
        else:
            try:
                with self.away():
                    await self._claim(job)
            finally:
                await self._leave(self.lanes, job)

    async def _claim(self, job: Doc) -> None:
        try:
            bound = self._provider(job)
            bound.ready()  # before the claim: whoever has to wait costs one write, not two
            request = await self._request(job, bound)
        except ProviderUnavailableError as error:
            await self._later(job, error)
        except StudioError as error:
            if isinstance(error, UnavailableError):
                raise
            await self._fail(job, failure_of(error))
        else:
            fields = {"sent": job["attempt"], "started_at": job.get("started_at", self._store.now())}
            claimed = await self._store.change(job, "claimed", self._store.leased() | fields)
            if claimed is not None and await self._crowded(job):  # another was claimed in the same moment
                await self._requeue(claimed, {"sent": 0}, CROWDED_MS / 1000)
            elif claimed is not None:
                await self._submit(claimed, bound, request)

    async def _crowded(self, job: Doc) -> bool:
        """Say whether the user has as many jobs under way at this provider as `user_concurrency` allows."""
        if self._user_limit is None:
            return False
        mine = {"user_id": job["user_id"], "provider": job["provider"], "_id": {"$ne": job["_id"]}}
        under_way = {"next_at": {"$gt": 0}, "state": {"$in": UNDER_WAY}}
        return await self._store.jobs.count(mine | under_way) >= self._user_limit

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
                wait, again = error.retry_after, failure_of(error)
                done = await self._fail(
                    job | found, again, retry_after=wait, elsewhere=again.retryable, same=job["repeatable"]
                )
            else:
                found = {"provider_job_id": generation.provider_job_id}
                if generation.state == "succeeded":
                    found["generation"] = generation.model_dump(mode="json")
                done = await self._advance(job, generation)
        if done is None:
            await self.overtaken(job, found)

    async def _later(self, job: Doc, error: ProviderUnavailableError) -> Doc | None:
        elsewhere = error.code != BUSY and self._another(job)
        if error.retry_after is None or self._overdue(job) or elsewhere:
            return await self._fail(
                job | {"sent": 0}, failure_of(error, retryable=False), elsewhere=elsewhere
            )
        wait = min(spread(error.retry_after), LONGEST_PAUSE_S)
        since = job.get("started_at", self._store.now())  # the deadline counts from here, sent or not
        return await self._requeue(job, {"sent": 0, "started_at": since}, wait)

    async def _claimed(self, job: Doc) -> None:
        mine = await self._take(job)
        if mine is not None and mine["repeatable"]:
            await self._requeue(mine, {})
        elif mine is not None:
            message = (
                "The worker ended while it sent the request. Look at the provider's bill before you retry."
            )
            await self._fail(mine, GenerationError(code=INTERRUPTED, message=message))
