"""The equality check: the ledger against the budgets' figures, and against what the jobs say they have cost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from studio_usage.book import late_mark, reserves
from studio_usage.ledger import effect, grouped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from studio import Doc, PluginContext, Repository
    from studio_usage.ledger import Attempt
    from studio_usage.reconcile import Reconciler
    from studio_usage.service import CostService

PAGE = 100
SHOWN = 1000
"""Most differences that a report names."""
TRIES = 50
"""How often a budget that changes while it is compared is read anew."""
REPAIRS = 3
"""How often one budget is written anew in a run before its differences are told instead."""
DAY_MS = 86_400_000
ROW_FIELDS = ("kind", "amount_uusd", "ended_uusd", "closes", "job_id", "attempt", "budget_ids", "at")


class EqualityCheck:
    """One run; make a new one for the next. `clock` is UTC ms."""

    def __init__(
        self, ctx: PluginContext, costs: CostService, reconciler: Reconciler, clock: Callable[[], int]
    ) -> None:
        self._jobs, self._costs, self._reconciler = ctx.database["jobs"], costs, reconciler
        self._clock = clock
        self._counts = dict.fromkeys(("budgets", "busy", "attempts", "jobs", "repaired"), 0)
        self._sums = {"ledger_uusd": 0, "jobs_uusd": 0}
        self._repairs: Counter[str] = Counter()
        self.differences: list[Doc] = []

    async def run(self, days: int | None, *, repair: bool = False) -> Doc:
        """Compare what is younger than `days` (None: everything); with `repair` correct the budgets."""
        started = self._clock()
        since = 0 if days is None else started - days * DAY_MS
        await self._attempts(since)
        for where in ({"resets_at": {"$gt": since}}, {"resets_at": None}):
            for found in await self._costs.book.budgets.find(where, fields=("_id",)):
                await self._budget(found["_id"], repair=repair)
        await self._cost_of_jobs(since)
        await self._flags()
        report = {"started_at": started, "since": since, "flagged": await self._costs.flags.count()}
        return report | self._counts | self._sums | {"differences": self.differences}

    def _differ(self, what: str, name: str, ledger: Any, found: Any) -> None:
        if len(self.differences) < SHOWN:
            self.differences.append({"what": what, "id": name, "ledger": ledger, "found": found})

    # ---------------------------------------------------------------- each attempt by itself

    async def _attempts(self, since: int) -> None:
        async for holds in younger(self._costs.ledger.rows, {"kind": "hold"}, since, "at"):
            found = await self._costs.ledger.attempts(row["job_id"] for row in holds)
            self._counts["attempts"] += len(holds)
            for attempt in found.values():
                rest = attempt.closing is not None and attempt.open_uusd > 0
                back = "takes_back" in attempt.rows.get("capture", {}) and "refund" not in attempt.rows
                if rest or back or attempt.unknown:
                    await self._costs.complete(attempt)  # what a crash has left out
            still = [a for a in found.values() if a.hold is not None and a.closing is None]
            await self._reconciler.settle_open(still)

    async def _flags(self) -> None:
        """Take down the flags of what has been settled: a crash may have come between the two."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self._costs.flags.page(cursor or None, PAGE)
            cursor = page.next_cursor
            known = await self._costs.ledger.attempts(flag["job_id"] for flag in page.items)
            for flag in page.items:
                attempt = known.get((flag["job_id"], flag["attempt"]))
                if attempt is None or attempt.settled:
                    await self._costs.flags.lower(flag["_id"])

    # ---------------------------------------------------------------- budgets

    async def _budget(self, budget_id: str, *, repair: bool) -> None:
        """Compare one budget; what other calls do meanwhile is not counted against it."""
        self._counts["budgets"] += 1
        wrong: Doc = {}
        lacking: list[Attempt] = []
        for _ in range(TRIES):
            if (budget := await self._costs.book.budgets.get(budget_id)) is None:
                return
            await self._reconciler.mend(budget)
            attempts = await self._arrived(budget)
            fresh = await self._costs.book.budgets.get(budget_id)
            if fresh is None or fresh["rev"] != budget["rev"]:
                continue
            lacking = [a for a in attempts if _open(a) and a.key not in budget["open"]]
            wrong = _wrong(budget, attempts)
            if not repair or not (wrong or lacking) or not await self._repair(budget, attempts, lacking):
                break
        else:
            self._counts["busy"] += 1
            return
        for name, value in wrong.items():
            self._differ(f"budget.{name}", budget_id, value, budget[name])
        for attempt in lacking:
            self._differ("budget.open", f"{attempt.job_id} {attempt.attempt}", attempt.held_uusd, None)

    async def _arrived(self, budget: Doc) -> list[Attempt]:
        """Return a budget's attempts, and bring into it the rows that a crash has kept away from it."""
        rows = await self._costs.ledger.rows.find({"budget_ids": budget["_id"]}, fields=ROW_FIELDS)
        attempts = list(grouped(rows).values())
        for attempt in attempts:
            for row in attempt.rows.values():
                if (effect(row) or row.get("closes")) and not came(budget, attempt, row):
                    await self._costs.book.apply(attempt, row, [budget["_id"]])
        return attempts

    async def _repair(self, budget: Doc, attempts: list[Attempt], lacking: list[Attempt]) -> bool:
        """Write the figures of the ledger, then hold again what should be held; False: it was for nothing."""
        if self._repairs[budget["_id"]] >= REPAIRS:
            return False
        self._repairs[budget["_id"]] += 1
        if await self._costs.book.correct(budget, *figures(budget, attempts)):
            self._counts["repaired"] += self._repairs[budget["_id"]] == 1
            for attempt in lacking:
                await self._hold_again(budget, attempt)
        return True

    async def _hold_again(self, budget: Doc, attempt: Attempt) -> None:
        hold = attempt.hold or {}
        entry = {"hold": hold.get("_id"), "job_id": attempt.job_id, "attempt": attempt.attempt}
        entry |= {"amount": attempt.held_uusd, "at": hold.get("at")}
        await self._costs.book.reserve(budget, attempt.key, entry, force=True)

    # ---------------------------------------------------------------- jobs

    async def _cost_of_jobs(self, since: int) -> None:
        first = await self._costs.ledger.rows.find_one({"kind": "hold"}, sort=[("_id", 1)])
        since = max(since, first["at"]) if first else self._clock()  # earlier jobs had another owner of cost
        async for jobs in younger(self._jobs, {"kind": {"$gt": ""}}, since, "created_at"):
            known = await self._costs.ledger.attempts(job["_id"] for job in jobs)
            for job in jobs:
                if "cost_source" in job and "bill" not in job:
                    self._compare(job, known.get((job["_id"], job["attempt"])))

    def _compare(self, job: Doc, attempt: Attempt | None) -> None:
        self._counts["jobs"] += 1
        capture = attempt.rows.get("capture") if attempt else None
        if attempt is not None and capture is None:  # settled by hand before the job was
            capture = attempt.rows.get("adjust")
        charged = capture["amount_uusd"] if capture else "no row"
        self._sums["jobs_uusd"] += job["cost_uusd"] or 0
        self._sums["ledger_uusd"] += capture["amount_uusd"] or 0 if capture else 0
        if charged != job["cost_uusd"]:
            self._differ("job.cost_uusd", job["_id"], charged, job["cost_uusd"])


def _open(attempt: Attempt) -> bool:
    return attempt.closing is None and reserves(attempt.hold)


def came(budget: Doc, attempt: Attempt, row: Doc) -> bool:
    """Return whether a row has arrived in a budget."""
    if row.get("closes") and reserves(attempt.hold):
        return attempt.key not in budget["open"]
    return late_mark(attempt, row) in budget["late"]


def figures(budget: Doc, attempts: list[Attempt]) -> tuple[int, int]:
    """Return (held, spent) of a budget by the ledger, without rows that have yet to arrive in it."""
    held = sum(int(entry["amount"]) for entry in budget["open"].values())
    rows = [(attempt, row) for attempt in attempts for row in attempt.rows.values()]
    return held, sum(effect(row) for attempt, row in rows if effect(row) and came(budget, attempt, row))


def _wrong(budget: Doc, attempts: list[Attempt]) -> Doc:
    held, spent = figures(budget, attempts)
    left = budget["limit_uusd"] - held - spent
    right = {"held_uusd": held, "spent_uusd": spent, "left_uusd": left}
    return {name: value for name, value in right.items() if budget[name] != value}


async def younger(repository: Repository, where: Doc, since: int, name: str) -> AsyncIterator[list[Doc]]:
    """Yield pages of what matches, newest first, down to the moment `since` of the field `name`."""
    cursor = None
    while True:
        page = await repository.page(where, cursor=cursor, limit=PAGE, newest_first=True)
        items = [item for item in page.items if item[name] >= since]
        if items:
            yield items
        cursor = page.next_cursor
        if cursor is None or len(items) < len(page.items):
            return
