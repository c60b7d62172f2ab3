"""Budgets as people see and set them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import ConflictError
from studio_usage.book import new_budget, rule_id
from studio_usage.periods import span_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Actor, Doc, PluginContext
    from studio_usage.book import Book
    from studio_usage.ledger import Ledger
    from studio_usage.models import BudgetSet


class BudgetService:
    """Sets, shows and takes away limits; `clock` is UTC ms."""

    def __init__(self, ctx: PluginContext, book: Book, ledger: Ledger, clock: Callable[[], int]) -> None:
        self._ctx, self._book, self._ledger, self._clock = ctx, book, ledger, clock

    async def list_budgets(self, scope: str, scope_id: str) -> Doc:
        """Return the budgets of one owner in their present periods, and what the tightest one leaves."""
        return await self._listed([f"{scope}:{scope_id}"])

    async def budgets_of_call(self, project_id: str, user_id: str) -> Doc:
        """Return a project's budgets; what is left also minds the caller's own."""
        mine = await self._listed([f"user:{user_id}"])
        found = await self._listed([f"project:{project_id}"])
        left = [part["left_uusd"] for part in (found, mine) if part["left_uusd"] is not None]
        return found | {"left_uusd": min(left, default=None)}

    async def _listed(self, owners: list[str]) -> Doc:
        budgets = [await self._shown(rule) for rule in await self._book.rules_of(owners)]
        left = [budget["left_uusd"] for budget in budgets if budget["on_exceed"] == "refuse"]
        return {"items": budgets, "left_uusd": min(left, default=None)}

    async def _shown(self, rule: Doc) -> Doc:
        """Return a budget as it is now, without making the document of a period that nobody has used yet."""
        span = span_at(rule["period"], rule["tz"], self._clock())
        budget_id = f"{rule['_id']}:{span.start}"
        stored = await self._book.budgets.get(budget_id) or new_budget(rule, budget_id, span.start, span.end)
        limits = {name: rule[name] for name in ("limit_uusd", "soft_uusd", "on_exceed")}
        limits["left_uusd"] = rule["limit_uusd"] - stored["held_uusd"] - stored["spent_uusd"]
        return {**stored, **limits, "_id": rule["_id"]}

    async def set_budget(self, actor: Actor, scope: str, scope_id: str, body: BudgetSet) -> Doc:
        """Set a limit; raises ConflictError when somebody else does so at once, or the zone would change."""
        name = rule_id(scope, scope_id, body.period)
        old = await self._book.rules.get(name)
        alive = old is not None and old["deleted_at"] is None
        if old and alive and old["tz"] != body.tz:
            hint = "Its days would begin anew: delete the budget first."
            raise ConflictError(hint, code="budget_timezone_fixed")
        fields = {**body.model_dump(), "deleted_at": None, "set_by": actor.user_id}
        if old is None:
            place = {"owner": f"{scope}:{scope_id}", "scope": scope, "scope_id": scope_id}
            rule = await self._book.rules.insert({"_id": name, **place, **fields, "rev": 1})
        else:
            rule = await self._changed(old, fields)
        before = old["limit_uusd"] if old and alive else 0
        await self._granted(actor, rule, rule["limit_uusd"] - before)
        await self._book.current([rule])
        return await self._shown(rule)

    async def delete_budget(self, actor: Actor, scope: str, scope_id: str, period: str) -> None:
        """Take a limit away; once more is no error. What it has counted stays, should it be set again."""
        old = await self._book.rules.get(rule_id(scope, scope_id, period))
        if old is not None and old["deleted_at"] is None:
            rule = await self._changed(old, {"deleted_at": self._clock(), "set_by": actor.user_id})
            await self._granted(actor, rule, -rule["limit_uusd"])

    async def _changed(self, old: Doc, fields: Doc) -> Doc:
        seen = {"_id": old["_id"], "rev": old["rev"]}
        if not await self._book.rules.update(seen, {"$set": fields, "$inc": {"rev": 1}}):
            raise ConflictError("Somebody else has changed this budget; look again.", code="stale_revision")
        return old | fields | {"rev": old["rev"] + 1}

    async def _granted(self, actor: Actor, rule: Doc, more: int) -> None:
        """Write down who has changed a limit by how much, and tell the project."""
        scope, scope_id = rule["scope"], rule["scope_id"]
        about = {f"{scope}_id": scope_id, "job_id": f"budget:{rule['_id']}", "attempt": rule["rev"]}
        if scope == "provider":
            about["provider"] = scope_id
        if more:
            fields = {"note": f"the limit of {rule['_id']}", "by": actor.user_id, "price_source": "reported"}
            await self._ledger.add("grant", about, amount_uusd=more, **fields)
        params = {"period": rule["period"], "limitUusd": rule["limit_uusd"]}
        if scope == "project":
            target = {"type": "budget", "id": rule["_id"], "name": rule["period"]}
            action = "budget.changed" if rule["deleted_at"] is None else "budget.deleted"
            self._ctx.activity.log_activity(scope_id, actor, action, target, params)
        self._ctx.log.info("budget_changed", budget=rule["_id"], by=actor.user_id, change_uusd=more)
