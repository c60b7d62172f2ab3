"""Wires usage and budgets into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import (
    ActivityAction,
    Collection,
    CostDecision,
    CostHold,
    CostSettlement,
    Manifest,
    Permission,
    PluginContext,
    Route,
    StudioHooks,
    hookimpl,
    now_ms,
)
from studio_usage.budgets import BudgetService
from studio_usage.collections import COLLECTIONS
from studio_usage.commands import build_commands
from studio_usage.flags import Flags
from studio_usage.reconcile import Reconciler
from studio_usage.report import Reports
from studio_usage.routes import ROUTES
from studio_usage.schedule import Schedule
from studio_usage.service import CostService
from studio_usage.settings import UsageSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import typer


class Plugin(StudioHooks):
    """The owner of `hold_cost` and `settle_cost` that keeps accounts."""

    manifest = Manifest(name="usage", requires=("projects",), settings=UsageSettings)

    def __init__(self) -> None:
        self._costs: CostService

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/workbench/projects and /api/usage."""
        return ROUTES

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> Sequence[Collection]:
        """Return the ledger, the budgets with their rules, flags and checks."""
        return COLLECTIONS

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        """Return the rights over money."""
        return [
            Permission("usage:read", "See what a project spends"),
            Permission("budget:manage", "Set a project's budgets"),
            Permission("usage:operate", "Set anybody's budgets, check and correct the ledger", "platform"),
        ]

    @hookimpl
    def register_activities(self, ctx: PluginContext) -> list[ActivityAction]:
        """Return what people of a project hear of its money."""
        return [
            ActivityAction("budget.changed", "set the budget ({period})", "money"),
            ActivityAction("budget.deleted", "took the budget ({period}) away", "money"),
            ActivityAction(
                "budget.soft_limit", "reached the soft limit of the {scope}'s budget ({period})", "money"
            ),
            ActivityAction(
                "budget.exceeded", "reached the limit of the {scope}'s budget ({period})", "money"
            ),
            ActivityAction("cost.refunded", "recorded a refund", "money"),
            ActivityAction("cost.settled", "settled a charge by hand", "money"),
        ]

    @hookimpl
    def register_commands(self, ctx: PluginContext) -> list[typer.Typer]:
        """Return `studio usage`."""
        return [build_commands(ctx)]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the services; keep the books in order while this plugin owns cost."""
        settings = ctx.settings(UsageSettings)
        self._costs = costs = CostService(ctx, settings)
        reconciler = Reconciler(ctx, costs, settings, now_ms)
        schedule = Schedule(ctx, costs, reconciler, settings, now_ms)
        ctx.provide(CostService, costs)
        ctx.provide(BudgetService, BudgetService(ctx, costs.book, costs.ledger, now_ms))
        ctx.provide(Reports, Reports(costs.ledger, now_ms))
        ctx.provide(Flags, costs.flags)
        ctx.provide(Schedule, schedule)
        if ctx.config.owners.cost == ctx.name:
            ctx.spawn(schedule.run(), "schedule")
        yield

    @hookimpl
    async def hold_cost(self, ctx: PluginContext, hold: CostHold) -> CostDecision:
        """Reserve in every budget that matches."""
        return await self._costs.hold(hold)

    @hookimpl
    async def settle_cost(self, ctx: PluginContext, settlement: CostSettlement) -> bool:
        """Record how a hold ended."""
        return await self._costs.settle(settlement)
