"""Submitted jobs: asked by poll, told by a vendor's call, and whichever is first moves them on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.errors import ProviderRejectedError, StudioError
from studio.jobs.outcome import LONGEST_PAUSE_S, Outcomes, failure_of
from studio.providers.contract import GenerationError
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from studio.model import Doc
    from studio.providers.contract import Generation

EARLY_MS = 50
"""A ring this much too early still counts: timers are not exact."""
GRACE_MS = 2_000
"""How long a queued job may wait for its ring before the scanner takes it."""
REPEAT_WRITE_S = (0.5, 1.5, 3.0)
"""Pauses before a vendor's answer is written again while the database is away: it comes only once."""
PROGRESS_POINTS = 10
log = get_logger("studio.jobs")


class Polling(Outcomes):
    """The half of the machine that waits for a vendor."""

    async def _submitted(self, job: Doc) -> None:
        """Poll when it is time; also a cancelled job of which we do not know yet how it ends."""
        if job["next_at"] > self._store.now() + EARLY_MS:
            return
        if self._overdue(job):
            await self._cancel_at_vendor(job)
            message = f"No result within {self._kind(job).deadline_s:g} s."
            await self._fail(job, GenerationError(code="deadline_exceeded", message=message))
            return
        if not self.polls.enter(job["provider"]):
            self.polls.park(job)
            return
        try:
            with self.away():
                await self._ask(job)
        finally:
            await self._leave(self.polls, job)

    async def _ask(self, job: Doc) -> None:
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

    async def hear(self, job: Doc, generation: Generation | None) -> bool:
        """Follow what a vendor's call says of a job that is there; without news of its own, poll now.

        False: the job has ended, or somebody else moved it meanwhile.
        """
        open_end = (
            job["state"] == "cancelled" and "next_at" in job and not {"bill", "generation"} & job.keys()
        )
        if job["state"] != "submitted" and not open_end:
            return False
        if generation is None:
            seen = {"_id": job["_id"], "state_seq": job["state_seq"]}
            await self._store.jobs.update(seen, {"$set": {"next_at": self._store.now()}})
            await self.ring(job, 0.0)
            return True
        said = generation.model_copy(update={"provider_job_id": job["provider_job_id"]})
        return await self._advance(job, said, leave=True) is not None

    async def _advance(
        self, job: Doc, generation: Generation, delay: float = 0.0, *, leave: bool = False
    ) -> Doc | None:
        """Follow what the vendor said; None: the job was moved by somebody else meanwhile.

        With `leave` a result is stored by whoever hears the next ring, not by the caller.
        """
        if generation.state in ("failed", "cancelled"):
            error = generation.error or GenerationError(
                code="provider_failed", message="The provider gave no reason."
            )
            return await self._fail(job, error, generation)
        if generation.state == "running":
            asked = min(generation.retry_after_s or 0.0, LONGEST_PAUSE_S)
            return await self._wait(job, generation, asked if asked > 0 else delay or self._kind(job).poll_s)
        state = "cancelled" if job["state"] == "cancelled" else "finalizing"
        fields: Doc = {
            "provider_job_id": generation.provider_job_id,
            "generation": generation.model_dump(mode="json"),
        }
        fields |= {"next_at": self._store.now()} if leave else self._store.leased()
        done = await self._store.change(job, state, fields, waits=REPEAT_WRITE_S)
        if done is not None:
            await (self.ring(done, 0.0) if leave else self._accept(done))
        return done

    async def _wait(self, job: Doc, generation: Generation, delay: float) -> Doc | None:
        pct = max(
            min(generation.percent or 0, 100), job["progress"]["pct"]
        )  # a call that was overtaken takes nothing back
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

    async def _requeue(self, job: Doc, fields: Doc, delay_s: float = 0.0) -> Doc | None:
        """Queue the same attempt again: it was never sent, or the provider takes it twice for one."""
        ready = self._store.now() + int(delay_s * 1000)
        fields |= {"ready_at": ready, "next_at": ready + GRACE_MS}
        queued = await self._store.change(job, "queued", fields, unset=("lease_owner", "provider_job_id"))
        if queued is not None:
            await self.ring(queued, delay_s)
        return queued
