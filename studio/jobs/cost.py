"""Asking the owner of cost. No owner, a broken one or one without an answer means no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.errors import BudgetExceededError, StudioError

if TYPE_CHECKING:
    from studio.dispatch import Dispatcher
    from studio.jobs.contract import CostHold, CostSettlement
    from studio.model import Doc
    from studio.providers.contract import Generation

Bill = dict[str, Any]
"""What a `CostSettlement` says besides its job: attempt, kind, amount_uusd, source, usage."""


async def hold_cost(dispatcher: Dispatcher, hold: CostHold) -> None:
    """Reserve money; raises BudgetExceededError, or what the owner raised."""
    decision = await dispatcher.first("hold_cost", hold)
    if decision is None:
        raise BudgetExceededError("No owner of cost answered: name an enabled plugin in [owners] cost.")
    if not decision.allowed:
        named = {"budget": decision.budget or None, "resetsAt": decision.resets_at}
        known = {key: value for key, value in named.items() if value is not None}
        raise BudgetExceededError(decision.reason, retry_with=list(decision.retry_with), **known)


async def settle_cost(dispatcher: Dispatcher, settlement: CostSettlement) -> bool:
    """Return whether it is recorded; an owner that is away has to be asked again."""
    try:
        return await dispatcher.first("settle_cost", settlement) is True
    except StudioError:
        return False


def bill_of(job: Doc, generation: Generation | None, priced: int | None = None) -> Bill:
    """Say how the hold of this attempt ends; a sent request without a verdict counts as charged, unknown.

    The provider's figure counts, else what its usage costs (`priced`), else, of a success, the estimate; nothing is
    guessed. Work that failed and used something (a model's refusal counts its tokens) is charged.
    """
    kind, amount, source = "capture", None, "unknown"
    if generation and generation.cost_uusd is not None:
        amount, source = generation.cost_uusd, generation.cost_source
    elif generation and (generation.state == "succeeded" or generation.usage):
        done = generation.state == "succeeded"
        amount = job["estimate_uusd"] if priced is None and done else priced
        source = "unknown" if amount is None else "computed"
    elif generation or job["repeatable"] or job["sent"] != job["attempt"]:
        kind = "release"
    usage = dict(generation.usage) if generation else {}
    return {
        "attempt": job["attempt"], "kind": kind, "amount_uusd": amount, "source": source, "usage": usage
    }  # fmt: skip
