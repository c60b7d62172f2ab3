"""Handlers of usage, ledger and budgets."""

from __future__ import annotations

from studio import Doc, Page, PageQuery, Request
from studio_usage.budgets import BudgetService
from studio_usage.flags import Flags
from studio_usage.models import (
    BudgetDeleteQuery,
    BudgetPeriodQuery,
    BudgetSet,
    ByHand,
    CheckRequest,
    LedgerQuery,
    Refund,
    ScopedBudgetQuery,
    ScopedBudgetSet,
    UsageQuery,
)
from studio_usage.report import Reports
from studio_usage.schedule import Schedule
from studio_usage.service import CostService
from studio_usage.settings import UsageSettings


async def get_project_usage(request: Request, project_id: str, query: UsageQuery) -> Doc:
    """Return what a project has spent, by day, provider, model, user and kind of job."""
    return await request.service(Reports).usage({"project_id": project_id}, query)


async def list_ledger(request: Request, project_id: str, query: LedgerQuery) -> Page:
    """List a project's rows of the ledger, newest first."""
    return await request.service(Reports).page(project_id, query)


async def list_project_budgets(request: Request, project_id: str) -> Doc:
    """Return a project's budgets, and what is left for the caller's next call."""
    return await request.service(BudgetService).budgets_of_call(project_id, request.actor.user_id)


async def set_project_budget(request: Request, project_id: str, body: BudgetSet) -> Doc:
    """Set a project's budget for a period."""
    return await request.service(BudgetService).set_budget(request.actor, "project", project_id, body)


async def delete_project_budget(request: Request, project_id: str, query: BudgetPeriodQuery) -> None:
    """Take a project's budget away."""
    service = request.service(BudgetService)
    await service.delete_budget(request.actor, "project", project_id, query.period)


async def get_my_usage(request: Request, query: UsageQuery) -> Doc:
    """Return what the caller has spent, in all projects, and their own budgets."""
    user = request.actor.user_id
    report = await request.service(Reports).usage({"user_id": user}, query)
    budgets = await request.service(BudgetService).list_budgets("user", user)
    return report | {"budgets": budgets["items"]}


async def list_budgets(request: Request, query: ScopedBudgetQuery) -> Doc:
    """Return the budgets of a user, an API key or a provider."""
    return await request.service(BudgetService).list_budgets(query.scope, query.scope_id)


async def set_budget(request: Request, body: ScopedBudgetSet) -> Doc:
    """Set the budget of a user, an API key or a provider for a period."""
    limits = BudgetSet(**body.model_dump(exclude={"scope", "scope_id"}))
    service = request.service(BudgetService)
    return await service.set_budget(request.actor, body.scope, body.scope_id, limits)


async def delete_budget(request: Request, query: BudgetDeleteQuery) -> None:
    """Take the budget of a user, an API key or a provider away."""
    service = request.service(BudgetService)
    await service.delete_budget(request.actor, query.scope, query.scope_id, query.period)


async def list_flagged(request: Request, query: PageQuery) -> Page:
    """List charges of unknown size, and holds that nobody settles."""
    return await request.service(Flags).page(query.cursor, query.limit)


async def resolve_flagged(request: Request, body: ByHand) -> Doc:
    """Say what a flagged attempt has cost; 0 gives its hold back."""
    told = (body.job_id, body.attempt, body.amount_uusd, body.note)
    return await request.service(CostService).resolve(request.actor, *told)


async def refund(request: Request, body: Refund) -> Doc:
    """Record money that came back, once for each attempt of a job."""
    told = (body.job_id, body.attempt, body.amount_uusd, body.note)
    return await request.service(CostService).refund(request.actor, *told)


async def run_check(request: Request, body: CheckRequest) -> Doc:
    """Compare the ledger with budgets and jobs; with `repair` correct the budgets."""
    days = None if body.everything else request.ctx.settings(UsageSettings).check_days
    return await request.service(Schedule).check(days, repair=body.repair)
