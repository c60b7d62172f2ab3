"""Finishes what a process that died has left half done. Each step is one that the living would take as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import TERMINAL, CostSettlement
from studio_usage.ledger import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Doc, PluginContext
    from studio_usage.ledger import Attempt
    from studio_usage.service import CostService
    from studio_usage.settings import UsageSettings

HOUR_MS = 3_600_000


class Reconciler:
    """Looks at reservations that are older than any call can be; `clock` is UTC ms."""

    def __init__(
        self, ctx: PluginContext, costs: CostService, settings: UsageSettings, clock: Callable[[], int]
    ) -> None:
        self._jobs, self._costs, self._clock = ctx.database["jobs"], costs, clock
        self._orphan_ms = int(settings.orphan_s * 1000)
        self._unsettled_ms = int(settings.unsettled_h * HOUR_MS)

    async def run(self) -> int:
        """Look at every budget that holds money; returns how many reservations were given back or settled."""
        done = 0
        for budget in await self._costs.book.budgets.find({"held_uusd": {"$gt": 0}}):
            done += await self.mend(budget)
        return done

    async def mend(self, budget: Doc) -> int:
        """Give back or settle what is open in a budget for no reason; returns how much was."""
        old = self._clock() - self._orphan_ms
        entries = {key: entry for key, entry in budget["open"].items() if entry["at"] <= old}
        known = await self._costs.ledger.attempts(entry["job_id"] for entry in entries.values())
        done = 0
        for key, entry in entries.items():
            attempt = known.get((entry["job_id"], entry["attempt"]))
            if attempt is None or budget["_id"] not in attempt.budget_ids:
                done += await self._costs.book.undo(budget["_id"], key, entry)
            elif attempt.closing is not None:
                await self._costs.complete(attempt)
                done += 1
            else:
                done += await self.settle_open([attempt])
        return done

    async def settle_open(self, attempts: list[Attempt]) -> int:
        """Settle holds as their ended jobs say; flag those that no job answers for; returns how many it settled."""
        jobs = await self._jobs_of(attempts)
        done = 0
        for attempt in attempts:
            settlement = settlement_of(jobs.get(attempt.job_id), attempt)
            if settlement is not None:
                done += await self._costs.settle(settlement)
            elif self._forgotten(jobs.get(attempt.job_id), attempt):
                await self._costs.flags.raise_flag(attempt, "unsettled")
        return done

    async def _jobs_of(self, attempts: list[Attempt]) -> dict[str, Doc]:
        found: dict[str, Doc] = {}
        for ids in in_slices(attempt.job_id for attempt in attempts):
            found |= {job["_id"]: job for job in await self._jobs.find({"_id": {"$in": ids}})}
        return found

    def _forgotten(self, job: Doc | None, attempt: Attempt) -> bool:
        """Say whether nobody will settle this any more: no job, or one that is at another attempt."""
        if attempt.hold is None or attempt.unknown or self._clock() - attempt.hold["at"] < self._unsettled_ms:
            return False
        return job is None or (job["attempt"] != attempt.attempt and "bill" not in job)


def settlement_of(job: Doc | None, attempt: Attempt) -> CostSettlement | None:
    """Return how an ended job's hold ends when the job thinks that it has; None: it will say so itself."""
    ended = job is not None and job["state"] in TERMINAL and "bill" not in job
    if job is None or not ended or job["attempt"] != attempt.attempt or "capture" in attempt.rows:
        return None
    if "cost_source" not in job:
        return CostSettlement(attempt.job_id, attempt.attempt, "release", 0)
    return CostSettlement(
        attempt.job_id, attempt.attempt, "capture", job.get("cost_uusd"), job["cost_source"]
    )
