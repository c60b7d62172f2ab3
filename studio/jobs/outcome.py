"""What follows once a vendor has answered, refused or gone silent: keep, try again, give up, cancel."""

from __future__ import annotations

import random
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from studio.errors import StorageFullError, StudioError, UnavailableError
from studio.jobs.cost import bill_of
from studio.jobs.lanes import Lanes
from studio.providers.contract import Generation, GenerationError
from studio.telemetry import get_logger, redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from studio.jobs.contract import JobKind
    from studio.jobs.cost import Bill
    from studio.jobs.settings import JobsSettings
    from studio.jobs.store import JobStore
    from studio.model import Doc
    from studio.providers.registry import Providers
    from studio.providers.wrapper import BoundProvider

CRASHES = 3
KEEP_TRYING_MS = 5_000
LONGEST_PAUSE_S = 60.0
SPREAD_S = 5.0
log = get_logger("studio.jobs")


class Outcomes:
    """The half of the machine that starts with an answer. `ring(job, delay_s)` has it stepped again.

    While a step waits for a vendor it is `away`, in one of the provider's `lanes` (of its `polls`).
    """

    def __init__(self, store: JobStore, providers: Providers, settings: JobsSettings) -> None:
        self._store, self._providers, self._retry_s = store, providers, settings.retry_s
        self._fallback = settings.fallback
        at_once = min(settings.concurrency, settings.provider_concurrency)
        self.lanes, self.polls = Lanes(at_once), Lanes(at_once)
        self.away: Callable[[], AbstractContextManager[None]] = nullcontext
        self.kinds: dict[str, JobKind] = {}
        self.ring: Callable[[Doc, float], Awaitable[None]]

    async def admit(self, job: Doc) -> Doc | None:
        """Price, hold and queue a waiting job."""
        raise NotImplementedError

    async def _leave(self, lanes: Lanes, job: Doc) -> None:
        if (parked := lanes.leave(job["provider"])) is not None:
            await self.ring(parked, 0.0)

    def _kind(self, job: Doc) -> JobKind:
        return self.kinds[job["kind"]]

    def _provider(self, job: Doc) -> BoundProvider:
        return self._providers.get(self._kind(job).capability, job["provider"], job["model"])

    def _another(self, job: Doc) -> bool:
        """Say whether a provider that was not tried yet can do it, and the order leaves the choice to us."""
        if not self._fallback or job["wanted"] is not None:
            return False
        try:
            self._providers.get(self._kind(job).capability, None, job["model"], without=_tried(job))
        except StudioError:
            return False
        return True

    def _bill(self, job: Doc, generation: Generation | None) -> Bill:
        """Say how the hold of this attempt ends, by the declared price where the vendor names none."""
        keys = (self._kind(job).capability, job["provider"], job["model"])
        priced = self._providers.price(*keys, generation.usage) if generation else None
        return bill_of(job, generation, priced)

    def _overdue(self, job: Doc) -> bool:
        now = self._store.now()
        return bool(now - job.get("started_at", now) > self._kind(job).deadline_s * 1000)

    async def _put_off(
        self,
        job_id: str,
        wait_ms: float,
        fields: Doc | None = None,
        *,
        crashes: int = 0,
        seq: int | None = None,
    ) -> None:
        """Let the job wait; with `seq` only if nobody has taken it over since."""
        fields = {"next_at": self._store.now() + int(wait_ms), **(fields or {})}
        change = {"$set": fields, "$inc": {"crashes": crashes}, "$unset": {"lease_owner": ""}}
        where = {"_id": job_id, "next_at": {"$exists": True}} | ({} if seq is None else {"state_seq": seq})
        await self._store.jobs.update(where, change)

    async def _take(self, job: Doc) -> Doc | None:
        """Take over an orphan; None when somebody works on it, or it has stopped its workers too often."""
        died = int("lease_owner" in job)
        if not self._store.orphaned(job) or await self._poisoned(job, died):
            return None
        return await self._store.change(
            job, job["state"], self._store.leased() | {"crashes": job["crashes"] + died}
        )

    async def _poisoned(self, job: Doc, died: int = 0) -> bool:
        if job["crashes"] + died < CRASHES:
            return False
        message = (
            f"The work stopped {CRASHES} times without an answer ({job.get('fault', 'the process ended')})."
        )
        generation = Generation.model_validate(job["generation"]) if "generation" in job else None
        await self._fail(job, GenerationError(code="crashed", message=message), generation)
        return True

    async def _accept(self, job: Doc) -> None:
        generation, late = Generation.model_validate(job["generation"]), job["state"] == "cancelled"
        async with self._store.lease(job):
            try:
                kind = self._kind(job)
                self._providers.check_files(kind.capability, job["provider"], generation)
                fields = await kind.accept(job, generation, late)
            except (
                UnavailableError,
                StorageFullError,
            ) as error:  # it is paid for: keep it until there is room
                log.warning("job_result_waits", job_id=job["_id"], code=error.code, detail=error.detail)
                await self._put_off(job["_id"], KEEP_TRYING_MS, seq=job["state_seq"])
            except StudioError as error:
                await self._fail(job, failure_of(error, retryable=False), generation)
            else:
                fields = {**fields, "progress": {"pct": 100, "stage": "done"}}
                state = "cancelled" if late else "succeeded"
                await self._store.end(job, state, self._bill(job, generation), fields, owned=True)

    async def _finalizing(self, job: Doc) -> None:
        mine = await self._take(job)
        if mine is not None:
            await self._accept(mine)

    async def _fail(
        self,
        job: Doc,
        error: GenerationError,
        generation: Generation | None = None,
        *,
        retry_after: float | None = None,
        elsewhere: bool = False,
        same: bool = False,
    ) -> Doc | None:
        """Fail this attempt and, if that may help, begin the next; None: somebody else moved the job.

        `elsewhere` says that nothing was sent: after the last attempt here the next provider is tried. With `same` the
        next attempt carries this one's id: a provider that took it for once does so again.
        """
        bill = self._bill(job, generation)
        error = error.model_copy(update={"message": redact(error.message)})
        fields: Doc = {"error": error.model_dump()}
        if job["state"] == "cancelled":
            return await self._store.end(job, "cancelled", bill, {})
        again = error.retryable and job["attempt"] < job["max_attempts"]
        moves = elsewhere and not again and self._another(job)
        if not (again or moves) or self._overdue(job):
            return await self._store.end(job, "failed", bill, fields)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        pause = spread(retry_after) if retry_after else self._retry_s * 2 ** len(job["attempts"]) * jitter
        ready = self._store.now() + int(min(0.0 if moves else pause, LONGEST_PAUSE_S) * 1000)
        fields = next_attempt(job, self._store.now(), error.model_dump()) | self._store.leased()
        fields |= {"ready_at": ready, "bill": bill}
        if same and not moves:
            fields["same_as"] = job.get("same_as") or job["attempt"]
        if moves:
            fields |= {"tried": _tried(job), "max_attempts": job["attempt"] + self._kind(job).max_attempts}
        waiting = await self._store.change(job, "waiting", fields, unset=("provider_job_id", "generation"))
        if waiting is not None:
            await self.admit(waiting)
        return waiting

    async def _cancelling(self, job: Doc) -> None:
        if not self._store.orphaned(job):
            return  # its submitter still waits for the vendor, and comes here itself
        if "provider_job_id" not in job:
            await self._store.end(job, "cancelled", bill_of(job, None), {})
            return
        if "generation" not in job:
            await self._cancel_at_vendor(job)
        delay = self._kind(job).poll_s
        fields = {"finished_at": self._store.now(), "next_at": self._store.now() + int(delay * 1000)}
        done = await self._store.change(job, "cancelled", fields, unset=("lease_owner", "dedupe_active"))
        if done is not None:
            await self.ring(done, delay)

    async def _cancel_at_vendor(self, job: Doc) -> None:
        with suppress(StudioError), self.away():  # how it ended there is asked by polling, whatever this says
            await self._provider(job).cancel(job["provider_job_id"])


def spread(seconds: float) -> float:
    """Return a little more than `seconds`, never less: not all who were told the same come back at once."""
    return seconds + random.uniform(0.0, min(seconds / 4, SPREAD_S))  # noqa: S311 - spreads load, guards nothing


def _tried(job: Doc) -> list[str]:
    return [*job.get("tried", ()), job["provider"]]


def failure_of(error: StudioError, *, retryable: bool | None = None) -> GenerationError:
    """Return the job's error for an exception; rate limits and outages may be repeated by default."""
    if retryable is None:
        retryable = getattr(error, "retryable", error.status in (429, 503))
    return GenerationError(
        code=error.code, message=error.detail, retryable=retryable, input=error.extra.get("input")
    )


def next_attempt(job: Doc, now: int, error: Doc | None) -> Doc:
    """Return the fields of the attempt after this one, which goes into `attempts`."""
    kept = {key: job.get(key) for key in ("attempt", "provider", "provider_job_id", "started_at")}
    past = [*job["attempts"], {**kept, "ended_at": now, "error": error}]
    fresh = {"polls": 0, "progress": {"pct": 0, "stage": ""}, "same_as": None}
    return {"attempt": job["attempt"] + 1, "attempts": past, **fresh}
