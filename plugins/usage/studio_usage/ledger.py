"""The ledger: rows that are only ever added. What an attempt holds and has cost is read from its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from studio import ConflictError, new_id
from studio_usage.collections import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from studio import Database, Doc

MAX_IN = 100
"""Most values of an `$in`."""


def key_of(job_id: str, attempt: int) -> str:
    """Return the name of an attempt that may stand in a path of a document."""
    return f"{blake2b(job_id.encode(), digest_size=12).hexdigest()}_{attempt}"


@dataclass(slots=True)
class Attempt:
    """All rows of one attempt of a job, by kind; money in micro-USD."""

    job_id: str
    attempt: int
    rows: dict[str, Doc] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its name in budgets."""
        return key_of(self.job_id, self.attempt)

    @property
    def hold(self) -> Doc | None:
        """The row of the hold."""
        return self.rows.get("hold")

    @property
    def held_uusd(self) -> int:
        """What the hold reserved; a hold of unknown size reserved nothing."""
        return int((self.hold or {}).get("amount_uusd") or 0)

    @property
    def closing(self) -> Doc | None:
        """The row that ended the hold, if it has ended."""
        return next((row for row in self.rows.values() if row.get("closes")), None)

    @property
    def open_uusd(self) -> int:
        """What is still held."""
        return self.held_uusd - sum(int(row["ended_uusd"]) for row in self.rows.values())

    @property
    def spent_uusd(self) -> int:
        """What it has cost as far as that is known."""
        return sum(effect(row) for row in self.rows.values())

    @property
    def unknown(self) -> bool:
        """Whether it was charged and nobody knows how much."""
        capture = self.rows.get("capture")
        return capture is not None and capture["amount_uusd"] is None and "adjust" not in self.rows

    @property
    def settled(self) -> bool:
        """Whether its hold has ended and its cost is known."""
        return not self.unknown and (self.hold is None or self.closing is not None)

    @property
    def budget_ids(self) -> list[str]:
        """The budgets that its hold counts against."""
        return list((self.hold or {}).get("budget_ids", ()))


def effect(row: Mapping[str, Any]) -> int:
    """Return by how much a row raises what is spent."""
    sign = {"capture": 1, "adjust": 1, "refund": -1}.get(row["kind"], 0)
    return sign * int(row["amount_uusd"] or 0)


def in_slices(values: Iterable[str]) -> list[list[str]]:
    """Return the values without twins, in lists that fit an `$in`."""
    unique = list(dict.fromkeys(values))
    return [unique[start : start + MAX_IN] for start in range(0, len(unique), MAX_IN)]


class Ledger:
    """Adds rows and reads them; `clock` is UTC ms."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self.rows, self._clock = database[LEDGER], clock

    async def attempt(self, job_id: str, attempt: int) -> Attempt:
        """Return what is known of one attempt."""
        found = await self.rows.find({"job_id": job_id, "attempt": attempt})
        return Attempt(job_id, attempt, {row["kind"]: row for row in found})

    async def attempts(self, job_ids: Iterable[str]) -> dict[tuple[str, int], Attempt]:
        """Return every attempt of these jobs, by (job, attempt)."""
        found: list[Doc] = []
        for ids in in_slices(job_ids):
            found += await self.rows.find({"job_id": {"$in": ids}})
        return grouped(found)

    async def add(self, kind: str, like: Mapping[str, Any], **fields: Any) -> Doc | None:
        """Add a row with the names of `like` (a hold, a job); None: there is one of this kind or end already."""
        named = {name: like.get(name) for name in NAMES}
        row = {**named, "_id": new_id(), "at": self._clock(), "kind": kind, "ended_uusd": 0, "note": ""}
        row |= {"price_source": "unknown", "units": {}, "unit_price_uusd": like.get("unit_price_uusd")}
        try:
            return await self.rows.insert({**row, "budget_ids": list(like.get("budget_ids") or ()), **fields})
        except ConflictError:
            return None


NAMES = ("project_id", "user_id", "api_key_id", "job_id", "attempt", "job_kind", "provider", "model")
"""What every row says of whom it is about."""


def grouped(rows: Iterable[Doc]) -> dict[tuple[str, int], Attempt]:
    """Return rows as attempts."""
    found: dict[tuple[str, int], Attempt] = {}
    for row in rows:
        place = (row["job_id"], row["attempt"])
        found.setdefault(place, Attempt(*place)).rows[row["kind"]] = row
    return found
