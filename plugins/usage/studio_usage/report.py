"""Sums over the ledger: what a project, or a person, has spent on what."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from studio import InvalidInputError
from studio_usage.ledger import effect, grouped
from studio_usage.periods import day_at, midnight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from studio import Doc, Page
    from studio_usage.ledger import Attempt, Ledger
    from studio_usage.models import LedgerQuery, UsageQuery

DAYS = 30
MAX_ROWS = 100_000
FIELDS = (
    "at", "kind", "amount_uusd", "ended_uusd", "job_id", "attempt", "job_kind", "provider", "model", "user_id",
    "project_id", "units",
)  # fmt: skip
PARTS: dict[str, Callable[[Doc, str], str]] = {
    "by_day": lambda row, tz: day_at(tz, row["at"]).isoformat(),
    "by_provider": lambda row, _: row["provider"] or "",
    "by_model": lambda row, _: f"{row['provider']}/{row['model'] or 'default'}",
    "by_user": lambda row, _: row["user_id"] or "",
    "by_kind": lambda row, _: row["job_kind"] or "",
    "by_project": lambda row, _: row["project_id"] or "",
}


class Reports:
    """Reads the ledger; `clock` is UTC ms."""

    def __init__(self, ledger: Ledger, clock: Callable[[], int]) -> None:
        self._rows, self._clock = ledger.rows, clock

    async def usage(self, whose: Doc, query: UsageQuery) -> Doc:
        """Return the sums of a project's or a user's rows; raises InvalidInputError for too many of them."""
        since, until = self._span(query)
        where = {**whose, "at": {"$gte": since, "$lt": until}}
        rows = await self._rows.find(where, fields=FIELDS, limit=MAX_ROWS + 1)
        if len(rows) > MAX_ROWS:
            raise InvalidInputError(f"These are more than {MAX_ROWS} rows: ask for fewer days.")
        return {"since": since, "until": until, "tz": query.tz, **summed(rows, query.tz)}

    async def page(self, project_id: str, query: LedgerQuery) -> Page:
        """Return a page of a project's rows, newest first."""
        chosen: dict[str, Any] = {"kind": query.kind, "job_id": query.job_id}
        where = {"project_id": project_id, **{name: value for name, value in chosen.items() if value}}
        return await self._rows.page(where, cursor=query.cursor, limit=query.limit, newest_first=True)

    def _span(self, query: UsageQuery) -> tuple[int, int]:
        last = query.until or day_at(query.tz, self._clock())
        if query.since and not query.until:
            last = min(max(last, query.since), query.since + timedelta(days=366))
        first = query.since or last - timedelta(days=DAYS - 1)
        return midnight(query.tz, first), midnight(query.tz, last + timedelta(days=1))


def summed(rows: list[Doc], tz: str) -> Doc:
    """Return the sums of rows; a charge of unknown size is counted and adds nothing."""
    attempts = grouped(rows)
    unknown = {place for place, attempt in attempts.items() if attempt.unknown}
    told = [row for row in rows if row["kind"] in ("capture", "adjust", "refund")]
    calls = [row for row in told if row["kind"] == "capture"]
    units: Counter[str] = Counter()
    for row in calls:
        units.update(row.get("units") or {})
    found: Doc = {
        "spent_uusd": sum(map(effect, told)),
        "refunded_uusd": -sum(effect(row) for row in told if row["kind"] == "refund"),
        "held_uusd": _held(attempts.values()),
        "calls": len(calls),
        "unknown_calls": len(unknown),
        "units": dict(units),
    }
    return found | {part: _split(told, unknown, key, tz) for part, key in PARTS.items()}


def _held(attempts: Iterable[Attempt]) -> int:
    """Sum the holds that are open; one that began before the rows that were read is not among them."""
    return sum(attempt.open_uusd for attempt in attempts if attempt.hold is not None)


def _split(
    rows: list[Doc], unknown: set[tuple[str, int]], key: Callable[[Doc, str], str], tz: str
) -> list[Doc]:
    parts: dict[str, Doc] = {}
    for row in rows:
        name = key(row, tz)
        part = parts.setdefault(name, {"key": name, "spent_uusd": 0, "calls": 0, "unknown_calls": 0})
        part["spent_uusd"] += effect(row)
        if row["kind"] == "capture":
            part["calls"] += 1
            part["unknown_calls"] += (row["job_id"], row["attempt"]) in unknown
    return sorted(parts.values(), key=lambda part: str(part["key"]))
