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
"""What a `CostSettlement` says besides its job: attempt, kind, amount_uusd, source."""


async def hold_cost(dispatcher: Dispatcher, hold: CostHold) -> None:
    """Reserve money; raises BudgetExceededError, or what the owner raised."""
    decision = await dispatcher.first("hold_cost", hold)
    if decision is None:
        raise BudgetExceededError("No owner of cost answered: name an enabled plugin in [owners] cost.")
    if not decision.allowed:
        raise BudgetExceededError(decision.reason, retry_with=list(decision.retry_with))


async def settle_cost(dispatcher: Dispatcher, settlement: CostSettlement) -> bool:
    """Return whether it is recorded; an owner that is away has to be asked again."""
    try:
        return await dispatcher.first("settle_cost", settlement) is True
    except StudioError:
        return False


def bill_of(job: Doc, generation: Generation | None) -> Bill:
    """Say how the hold of this attempt ends; a sent request without a verdict counts as charged, unknown."""
    kind, amount, source = "capture", None, "unknown"
    if generation and generation.cost_uusd is not None:
        amount, source = generation.cost_uusd, "reported"
    elif generation and generation.state == "succeeded":
        if (amount := job["estimate_uusd"]) is not None:
            source = "computed"
    elif generation or job["repeatable"] or job["sent"] != job["attempt"]:
        kind = "release"
    return {"attempt": job["attempt"], "kind": kind, "amount_uusd": amount, "source": source}
