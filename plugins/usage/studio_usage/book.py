"""The budgets' figures, changed atomically; each change is remembered in the budget by the attempt that made it.

`open` names the attempts that hold money in a budget, `late` the rows that came after a hold had ended. Both make
every change happen once, however often it is tried, so that a step that was cut off can simply be done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio import ConflictError
from studio_usage.collections import BUDGETS, RULES
from studio_usage.ledger import effect
from studio_usage.periods import span_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from studio import Database, Doc
    from studio_usage.ledger import Attempt

TRIES = 40
"""How often a reservation is tried anew while others ask for the very same hold."""
SCOPES = ("api_key", "project", "provider", "user")


def rule_id(scope: str, scope_id: str, period: str) -> str:
    """Return the id of a budget, whatever its period."""
    return f"{scope}:{scope_id}:{period}"


class Book:
    """Rules (what somebody has set) and budgets (one document for each period of a rule)."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self.rules, self.budgets, self._clock = database[RULES], database[BUDGETS], clock

    # ---------------------------------------------------------------- which budgets

    async def rules_of(self, owners: Sequence[str]) -> list[Doc]:
        """Return the rules of owners such as "project:<id>", in the one order in which everybody reserves."""
        found = await self.rules.find({"owner": {"$in": list(owners)}, "deleted_at": None})
        return sorted(found, key=lambda rule: str(rule["_id"]))

    async def current(self, rules: Sequence[Doc]) -> list[Doc]:
        """Return the budget of each rule for the period that is now, made on its first use."""
        return [await self._current(rule) for rule in rules]

    async def _current(self, rule: Doc) -> Doc:
        span = span_at(rule["period"], rule["tz"], self._clock())
        budget_id = f"{rule['_id']}:{span.start}"
        budget = await self.budgets.get(budget_id)
        if budget is None:
            try:
                return await self.budgets.insert(new_budget(rule, budget_id, span.start, span.end))
            except ConflictError:  # somebody else made it a moment ago
                budget = await self._read(budget_id)
        return await self._up_to_date(rule, budget)

    async def _up_to_date(self, rule: Doc, budget: Doc) -> Doc:
        while budget["rule_rev"] < rule["rev"]:
            more = rule["limit_uusd"] - budget["limit_uusd"]
            told = {name: rule[name] for name in ("limit_uusd", "soft_uusd", "on_exceed")}
            told |= {"rule_rev": rule["rev"], "soft_at": None, "exceeded_at": None}
            seen = {"_id": budget["_id"], "rule_rev": budget["rule_rev"]}
            await self.budgets.update(seen, {"$set": told, "$inc": {"left_uusd": more, "rev": 1}})
            budget = await self._read(budget["_id"])
        return budget

    async def _read(self, budget_id: str) -> Doc:
        return await self.budgets.get(budget_id) or {}

    # ---------------------------------------------------------------- reserve

    async def reserve(self, budget: Doc, key: str, entry: Doc, *, force: bool = False) -> bool:
        """Hold `entry["amount"]`, or take over what this attempt holds here already; False: it does not fit."""
        refuses = budget["on_exceed"] == "refuse" and not force
        for _ in range(TRIES):
            before = budget["open"].get(key)
            more = entry["amount"] - (before["amount"] if before else 0)
            where = {"_id": budget["_id"], **_as_read(key, before)}
            if refuses and more > 0:
                where["left_uusd"] = {"$gte": more}
            if await self.budgets.update(where, _moved(more, {"$set": {f"open.{key}": entry}})):
                return True
            budget = await self._read(budget["_id"])
            if refuses and budget["open"].get(key) == before and budget["left_uusd"] < more:
                return False
        raise ConflictError(f"The budget {budget['_id']} changes too fast; try again.")

    async def undo(self, budget_id: str, key: str, entry: Doc) -> bool:
        """Give back what this very call reserved; not what another has taken over since."""
        where = {"_id": budget_id, f"open.{key}.hold": entry["hold"]}
        return bool(
            await self.budgets.update(where, _moved(-entry["amount"], {"$unset": {f"open.{key}": ""}}))
        )

    # ---------------------------------------------------------------- settle

    async def apply(self, attempt: Attempt, row: Doc, budget_ids: Sequence[str] | None = None) -> None:
        """Bring a row of the ledger into the budgets of its hold, each once."""
        for budget_id in attempt.budget_ids if budget_ids is None else budget_ids:
            if row.get("closes") and reserves(attempt.hold):
                await self._finish(budget_id, attempt, effect(row))
            elif effect(row):
                await self._late(budget_id, late_mark(attempt, row), effect(row))

    async def _finish(self, budget_id: str, attempt: Attempt, spent: int) -> None:
        held, path = attempt.held_uusd, f"open.{attempt.key}"
        moves = {"held_uusd": -held, "spent_uusd": spent, "left_uusd": held - spent, "rev": 1}
        where = {"_id": budget_id, f"{path}.amount": held}
        await self.budgets.update(where, {"$unset": {path: ""}, "$inc": moves})

    async def _late(self, budget_id: str, mark: str, spent: int) -> None:
        moves = {"spent_uusd": spent, "left_uusd": -spent, "rev": 1}
        where = {"_id": budget_id, f"late.{mark}": {"$exists": False}}
        await self.budgets.update(where, {"$set": {f"late.{mark}": True}, "$inc": moves})

    async def once(self, budget: Doc, name: str) -> bool:
        """Return True to the first who asks for this budget's `name` ("soft_at", "exceeded_at")."""
        where = {"_id": budget["_id"], name: None}
        return bool(await self.budgets.update(where, {"$set": {name: self._clock()}}))

    async def correct(self, budget: Doc, held: int, spent: int) -> bool:
        """Write the figures that the ledger gives, unless somebody has changed the budget since it was read."""
        where = {"_id": budget["_id"], "rev": budget["rev"]}
        figures = {"held_uusd": held, "spent_uusd": spent, "left_uusd": budget["limit_uusd"] - held - spent}
        return bool(await self.budgets.update(where, {"$set": figures, "$inc": {"rev": 1}}))


def reserves(hold: Doc | None) -> bool:
    """Return whether a hold stands in its budgets: one of nothing at all costs them no write."""
    return hold is not None and hold["amount_uusd"] != 0


def late_mark(attempt: Attempt, row: Doc) -> str:
    """Return the name in a budget's `late` of a row that ends no hold there."""
    return f"{attempt.key}_{row['kind']}"


def new_budget(rule: Doc, budget_id: str, start: int, end: int | None) -> Doc:
    """Return a budget in which nothing is held or spent."""
    told = ("scope", "scope_id", "period", "tz", "limit_uusd", "soft_uusd", "on_exceed")
    figures = {"held_uusd": 0, "spent_uusd": 0, "left_uusd": rule["limit_uusd"], "open": {}, "late": {}}
    marks = {"rule_id": rule["_id"], "rule_rev": rule["rev"], "rev": 1, "soft_at": None, "exceeded_at": None}
    span = {"_id": budget_id, "period_start": start, "resets_at": end}
    return {**{name: rule[name] for name in told}, **figures, **marks, **span}


def _as_read(key: str, entry: Doc | None) -> Doc:
    if entry is None:
        return {f"open.{key}": {"$exists": False}}
    return {f"open.{key}.hold": entry["hold"], f"open.{key}.amount": entry["amount"]}


def _moved(held: int, change: dict[str, Any]) -> dict[str, Any]:
    return {**change, "$inc": {"held_uusd": held, "left_uusd": -held, "rev": 1}}
