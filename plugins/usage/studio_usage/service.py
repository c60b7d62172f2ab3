"""The state machine of money: hold, capture, release, refund, adjust. The ledger is written first, budgets follow.

Only a hold reserves before it is written down, because a refusal must leave no row.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from studio import (
    Actor,
    ConflictError,
    CostDecision,
    InvalidInputError,
    StudioError,
    UnavailableError,
    new_id,
    now_ms,
)
from studio_usage.advice import Prices, helps, refusal
from studio_usage.book import SCOPES, Book
from studio_usage.flags import Flags
from studio_usage.ledger import Attempt, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from studio import CostHold, CostSettlement, Doc, PluginContext
    from studio_usage.settings import UsageSettings

SETTLED = "This attempt has been settled already; begin another one."
YES = CostDecision(allowed=True)


class CostService:
    """Answers `hold_cost` and `settle_cost`, and corrects by hand what was settled; `clock` is UTC ms."""

    def __init__(
        self, ctx: PluginContext, settings: UsageSettings, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx, self._settings, self._clock = ctx, settings, clock
        self.ledger = Ledger(ctx.database, clock)
        self.book = Book(ctx.database, clock)
        self.flags = Flags(ctx.database, clock)
        self._prices = Prices(ctx.providers)

    # ---------------------------------------------------------------- hold

    async def hold(self, hold: CostHold) -> CostDecision:
        """Reserve in every budget that matches, or in none."""
        if hold.amount_uusd is not None and hold.amount_uusd < 0:
            raise InvalidInputError("An amount of money is not negative.")
        known, rules, job = await asyncio.gather(
            self.ledger.attempt(hold.job_id, hold.attempt),
            self.book.rules_of(_owners(hold)),
            self._ctx.database["jobs"].get(hold.job_id),
        )
        if known.hold is not None:
            return YES if known.closing is None else CostDecision(allowed=False, reason=SETTLED)
        budgets, amount = await self.book.current(rules), hold.amount_uusd
        if amount is None:
            amount = self._settings.unknown_hold_uusd
        strict = next((budget for budget in budgets if budget["on_exceed"] == "refuse"), None)
        if amount is None and strict is not None:
            return await self._refuse(hold, strict, None)
        about = {"job_id": hold.job_id, "attempt": hold.attempt}
        entry: Doc = {"hold": new_id(), **about, "amount": amount or 0, "at": self._clock()}
        refused = None if amount == 0 else await self._reserve(budgets, known.key, entry)
        if refused is not None:
            return await self._refuse(hold, refused, amount)
        await self._write(hold, amount, entry, budgets, (job or {}).get("kind", "call"))
        await self._watch_soft_limits(hold, budgets, entry["amount"])
        return YES

    async def _reserve(self, budgets: Sequence[Doc], key: str, entry: Doc) -> Doc | None:
        """Reserve in the order given; at the first that refuses undo the others and return it."""
        for count, budget in enumerate(budgets):
            try:
                fits = await self.book.reserve(budget, key, entry)
            except StudioError:
                with suppress(StudioError):  # the database is away: the reconciler gives back what is left
                    await self._give_back(budgets[: count + 1], key, entry)
                raise
            if not fits:
                await self._give_back(budgets[:count], key, entry)
                return budget
        return None

    async def _give_back(self, budgets: Sequence[Doc], key: str, entry: Doc) -> None:
        for budget in budgets:
            await self.book.undo(budget["_id"], key, entry)

    async def _write(
        self, hold: CostHold, amount: int | None, entry: Doc, budgets: Sequence[Doc], job_kind: str
    ) -> None:
        names = ("project_id", "user_id", "api_key_id", "job_id", "attempt", "provider", "model")
        like = {name: getattr(hold, name) for name in names} | {"job_kind": job_kind}
        like["unit_price_uusd"] = self._prices.unit_uusd(hold.provider, hold.model)
        source = "unknown" if hold.amount_uusd is None else "computed"
        ids = [budget["_id"] for budget in budgets]
        fields = {"_id": entry["hold"], "amount_uusd": amount, "price_source": source, "budget_ids": ids}
        if await self.ledger.add("hold", like, **fields) is None:
            known = await self.ledger.attempt(hold.job_id, hold.attempt)
            if known.hold is None or known.closing is not None:
                raise UnavailableError("The hold was made and settled by somebody else meanwhile.")
            if known.held_uusd != entry["amount"]:
                for budget in budgets:
                    agreed = {**entry, "amount": known.held_uusd}
                    await self.book.reserve(budget, known.key, agreed, force=True)

    async def _refuse(self, hold: CostHold, budget: Doc, amount: int | None) -> CostDecision:
        """Say no; `amount` None: because nobody knows how much it would be."""
        budget = await self.book.budgets.get(budget["_id"]) or budget
        if amount is not None:
            await self._tell_once(hold, budget, "exceeded_at", "budget.exceeded")
        free = self._prices.free_instead(hold.provider, hold.model)
        reason, advice = refusal(budget, amount), helps(budget, amount, free)
        resets_at = budget["resets_at"]
        return CostDecision(
            allowed=False, reason=reason, retry_with=advice, budget=budget["rule_id"], resets_at=resets_at
        )

    async def _watch_soft_limits(self, hold: CostHold, budgets: Sequence[Doc], amount: int) -> None:
        """Tell once a period that a soft limit, or the limit of a budget that only warns, has been passed."""
        for budget in budgets:
            used, limit = budget["limit_uusd"] - budget["left_uusd"] + amount, budget["limit_uusd"]
            soft = budget["soft_uusd"]
            if amount and soft is not None and used >= soft and budget["soft_at"] is None:
                await self._tell_once(hold, budget, "soft_at", "budget.soft_limit")
            if amount and used > limit and budget["exceeded_at"] is None:
                await self._tell_once(hold, budget, "exceeded_at", "budget.exceeded")

    async def _tell_once(self, hold: CostHold, budget: Doc, name: str, action: str) -> None:
        with suppress(StudioError):  # the money is held: that nobody was told is no reason to refuse it
            if await self.book.once(budget, name):
                self._log(hold, action, budget)

    def _log(self, hold: CostHold, action: str, budget: Doc) -> None:
        if not hold.project_id:
            return  # the platform's own call: no feed tells of it
        target = {"type": "budget", "id": budget["rule_id"], "name": budget["period"]}
        params = {"scope": budget["scope"], "period": budget["period"]}
        job = hold.job_id if action == "budget.exceeded" else None
        self._ctx.activity.log_activity(hold.project_id, Actor(hold.user_id), action, target, params, job)

    # ---------------------------------------------------------------- settle

    async def settle(self, settlement: CostSettlement) -> bool:
        """Record how a hold ended, once; what was recorded already is only brought to its end."""
        known = await self.ledger.attempt(settlement.job_id, settlement.attempt)
        if settlement.kind == "release":
            return await self._release(known)
        if "capture" in known.rows:
            await self.complete(known)
            await self._correct(known, settlement)
            return True
        return await self._capture(known, settlement)

    async def _release(self, known: Attempt) -> bool:
        if known.hold is not None and known.closing is None and not known.unknown:
            held = known.held_uusd
            fields = {"amount_uusd": held, "ended_uusd": held, "closes": known.key}
            await self.ledger.add("release", known.hold, price_source="computed", **fields)
            known = await self.ledger.attempt(known.job_id, known.attempt)
        await self.complete(known)
        return True

    async def _capture(self, known: Attempt, settlement: CostSettlement) -> bool:
        amount, closing = settlement.amount_uusd, known.closing
        by_hand = closing if closing is not None and closing["kind"] == "adjust" else None
        if by_hand is not None and amount in (None, by_hand["amount_uusd"]):
            return True
        like = known.hold or await self._unheld(known)
        fields: Doc = {"amount_uusd": amount, "price_source": settlement.source, "units": settlement.usage}
        if known.hold is None:
            fields["note"] = "charged without a hold"
        elif by_hand is not None:
            fields |= {"note": "charged after it was settled by hand", "takes_back": by_hand["amount_uusd"]}
        elif closing is not None:
            fields["note"] = "charged after its hold was released"
        elif amount is not None:
            fields |= {"ended_uusd": min(amount, known.held_uusd), "closes": known.key}
        added = await self.ledger.add("capture", like, **fields)
        known = await self.ledger.attempt(known.job_id, known.attempt)
        if (
            added is None and "capture" not in known.rows
        ):  # the hold ended between our reading and our writing
            return await self._capture(known, settlement)
        await self.complete(known)
        return True

    async def _unheld(self, known: Attempt) -> Doc:
        """Return whom a charge without a hold is about: a job that began under another owner of cost."""
        job = await self._ctx.database["jobs"].get(known.job_id) or {}
        names = {"job_id": known.job_id, "attempt": known.attempt, "job_kind": job.get("kind", "call")}
        found = ("project_id", "user_id", "api_key_id", "provider", "model")
        return {**{name: job.get(name) for name in found}, **names}

    async def complete(self, known: Attempt) -> None:
        """Do what follows from an attempt's rows and may be lacking: the rest released, budgets, the flag."""
        closing = known.closing
        if closing is not None and known.hold is not None and known.open_uusd > 0:
            rest = known.open_uusd
            fields = {"amount_uusd": rest, "ended_uusd": rest, "price_source": "computed"}
            await self.ledger.add("release", known.hold, **fields, note="the rest of the hold")
        back = known.rows.get("capture", {}).get("takes_back")
        if back and "refund" not in known.rows:
            fields = {"amount_uusd": back, "price_source": "computed", "note": "what was settled by hand"}
            await self.ledger.add("refund", known.rows["capture"], **fields)
            known = await self.ledger.attempt(known.job_id, known.attempt)
        for row in known.rows.values():
            await self.book.apply(known, row)
        if known.unknown:
            await self.flags.raise_flag(known, "unknown_charge")

    async def _correct(self, known: Attempt, settlement: CostSettlement) -> None:
        """Follow a settlement that comes again and knows better: refund or add what it reports."""
        capture, amount = known.rows["capture"], settlement.amount_uusd
        if amount is None or settlement.source == "unknown":
            return
        if known.unknown:
            await self._adjust(known, amount, settlement.source, "reported later")
        elif capture["amount_uusd"] is not None and settlement.source == "reported":
            more = amount - capture["amount_uusd"]
            if more > 0 and "adjust" not in known.rows:
                await self._add(known, "adjust", more, note="reported later")
            elif more < 0 and "refund" not in known.rows:
                await self._add(known, "refund", -more, note="reported later")

    async def _add(self, known: Attempt, kind: str, amount: int, **fields: Any) -> Doc | None:
        like = known.hold or known.rows["capture"]
        fields = {"price_source": "reported", **fields}
        row = await self.ledger.add(kind, like, amount_uusd=amount, **fields)
        await self.complete(await self.ledger.attempt(known.job_id, known.attempt))
        return row

    async def _adjust(self, known: Attempt, amount: int, source: str, note: str, **fields: Any) -> Doc | None:
        """End a hold whose charge was unknown."""
        if known.hold is not None and known.closing is None:
            fields |= {"ended_uusd": min(amount, known.held_uusd), "closes": known.key}
        row = await self._add(known, "adjust", amount, price_source=source, note=note, **fields)
        if row is not None:
            await self.flags.lower(known.key)
        return row

    # ---------------------------------------------------------------- by hand

    async def refund(self, actor: Actor, job_id: str, attempt: int, amount: int, note: str) -> Doc:
        """Record money that came back, once per attempt; the same refund again changes nothing.

        Raises ConflictError when nothing was charged, less than that, or another refund is recorded.
        """
        known = await self.ledger.attempt(job_id, attempt)
        if "refund" not in known.rows:
            if known.spent_uusd < amount:
                raise ConflictError("No more can come back than was charged.", code="refund_too_large")
            await self._add(known, "refund", amount, note=note, by=actor.user_id, price_source="reported")
            known = await self.ledger.attempt(job_id, attempt)
            self._log_by_hand(actor, known, "cost.refunded", amount)
        await self.complete(known)
        if known.rows["refund"]["amount_uusd"] != amount:
            raise ConflictError("Another amount was refunded already.", code="refunded_already")
        return known.rows["refund"]

    async def resolve(self, actor: Actor, job_id: str, attempt: int, amount: int, note: str) -> Doc:
        """Say what a flagged attempt has cost in truth; 0 releases it. Raises ConflictError when it is settled."""
        known = await self.ledger.attempt(job_id, attempt)
        unsettled = known.hold is not None and known.closing is None
        row = None
        if known.unknown or (unsettled and "capture" not in known.rows):
            row = await self._adjust(known, amount, "reported", note, by=actor.user_id)
        if row is None:
            if known.settled:
                await self.flags.lower(known.key)
            raise ConflictError("This attempt is settled, or was never held.", code="not_flagged")
        self._log_by_hand(actor, known, "cost.settled", amount)
        return row

    def _log_by_hand(self, actor: Actor, known: Attempt, action: str, amount: int) -> None:
        project = (known.hold or known.rows.get("capture") or {}).get("project_id")
        if project:
            target = {"type": "job", "id": known.job_id, "name": ""}
            params = {"amountUusd": amount, "attempt": known.attempt}
            self._ctx.activity.log_activity(project, actor, action, target, params, known.job_id)


def _owners(hold: CostHold) -> list[str]:
    ids = (hold.api_key_id, hold.project_id, hold.provider, hold.user_id)
    return [f"{scope}:{found}" for scope, found in zip(SCOPES, ids, strict=True) if found]
