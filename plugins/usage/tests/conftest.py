from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from studio import Actor, Collection, CostHold, CostSettlement, PluginContext, new_id
from studio.testing import InMemoryDatabase
from studio.testing.kit import Services
from studio_usage.book import rule_id
from studio_usage.budgets import BudgetService
from studio_usage.check import EqualityCheck
from studio_usage.collections import COLLECTIONS
from studio_usage.models import BudgetSet
from studio_usage.reconcile import Reconciler
from studio_usage.report import Reports
from studio_usage.schedule import Schedule
from studio_usage.service import CostService
from studio_usage.settings import UsageSettings

START_MS = 1_800_000_000_000
"""2027-01-15 08:00 UTC."""
ADMIN = Actor("ADMIN", platform_role="admin")


@dataclass
class Clock:
    ms: int = START_MS

    def __call__(self) -> int:
        return self.ms


class Crash(BaseException):
    """The process dies here; nothing but the test catches it."""


@dataclass
class Fault:
    """Kills the process at a write: before it (`at` even) or after it (odd)."""

    at: int | None = None
    seen: int = 0

    def step(self) -> None:
        if self.at is not None and self.seen == self.at:
            self.at = None
            raise Crash
        self.seen += 1


class Fragile:
    """A repository whose writes may be a process's last."""

    def __init__(self, inner: Any, fault: Fault) -> None:
        self._inner, self._fault = inner, fault

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in ("insert", "update"):
            return method

        async def write(*args: Any, **kwargs: Any) -> Any:
            self._fault.step()
            result = await method(*args, **kwargs)
            self._fault.step()
            return result

        return write


def offer(provider: str, capability: str, kind: str, price: int | None, model: str = "m") -> dict[str, Any]:
    spec = {"name": model, "price_kind": kind, "unit_price_uusd": price}
    return {"provider": provider, "capability": capability, "available": True, "models": [spec]}


@dataclass
class House:
    """The money plugin's services on one database, with a clock to turn and writes that can fail."""

    database: Any
    clock: Clock = field(default_factory=Clock)
    fault: Fault = field(default_factory=Fault)
    settings: UsageSettings = field(default_factory=UsageSettings)
    log: list[tuple[Any, ...]] = field(default_factory=list)
    offers: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        services = Services()
        names = [collection.name for collection in COLLECTIONS] + ["jobs"]
        services.database = {name: Fragile(self.database[name], self.fault) for name in names}
        services.activity = SimpleNamespace(log_activity=lambda *args: self.log.append(args))
        services.providers = SimpleNamespace(describe=lambda: self.offers)
        ctx = PluginContext("usage", services, self.settings, structlog.get_logger())
        self.costs = CostService(ctx, self.settings, self.clock)
        self.budgets = BudgetService(ctx, self.costs.book, self.costs.ledger, self.clock)
        self.reports = Reports(self.costs.ledger, self.clock)
        self.reconciler = Reconciler(ctx, self.costs, self.settings, self.clock)
        self.schedule = Schedule(ctx, self.costs, self.reconciler, self.settings, self.clock)
        self.ctx = ctx

    async def budget(self, limit: int, scope: str = "project", scope_id: str = "P", **more: Any) -> str:
        body = BudgetSet(limit_uusd=limit, **{"period": "total", **more})
        await self.budgets.set_budget(ADMIN, scope, scope_id, body)
        return rule_id(scope, scope_id, body.period)

    async def figures(self, name: str) -> tuple[int, int, int]:
        """Return (held, spent, left) of a budget in its present period."""
        scope, scope_id, _ = name.split(":")
        listed = (await self.budgets.list_budgets(scope, scope_id))["items"]
        found = next(budget for budget in listed if budget["_id"] == name)
        return found["held_uusd"], found["spent_uusd"], found["left_uusd"]

    def order(self, amount: int | None, job: str | None = None, **more: Any) -> CostHold:
        named = {"project_id": "P", "user_id": "U", "provider": "vendor", "model": "m", **more}
        attempt = named.pop("attempt", 1)
        return CostHold(job or new_id(), attempt, amount_uusd=amount, **named)

    async def hold(self, amount: int | None, job: str | None = None, **more: Any) -> Any:
        return await self.costs.hold(self.order(amount, job, **more))

    async def capture(self, job: str, amount: int | None, source: str = "reported", attempt: int = 1) -> bool:
        source = "unknown" if amount is None else source
        return await self.costs.settle(CostSettlement(job, attempt, "capture", amount, source))

    async def release(self, job: str, attempt: int = 1) -> bool:
        return await self.costs.settle(CostSettlement(job, attempt, "release", 0))

    async def rows(self, job: str) -> dict[str, dict[str, Any]]:
        return {row["kind"]: row for row in await self.database["ledger"].find({"job_id": job})}

    async def amounts(self, job: str) -> dict[str, int | None]:
        return {kind: row["amount_uusd"] for kind, row in (await self.rows(job)).items()}

    async def flagged(self) -> dict[str, str]:
        """Return job → reason of what is flagged."""
        return {f["job_id"]: f["reason"] for f in await self.database["usage_flags"].find({"open": True})}

    async def check(self, *, repair: bool = False, days: int | None = None) -> dict[str, Any]:
        return await EqualityCheck(self.ctx, self.costs, self.reconciler, self.clock).run(days, repair=repair)

    def told(self, action: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.log if entry[2] == action]


def declared(database: Any) -> Any:
    database.declare([("usage", c) for c in COLLECTIONS] + [("studio", Collection("jobs"))])
    return database


@pytest.fixture
def build_house():
    def build(database: Any = None, **more: Any) -> House:
        return House(declared(database or InMemoryDatabase()), **more)

    return build


@pytest.fixture
def house(build_house) -> House:
    return build_house()


@pytest.fixture
def crash() -> type[Crash]:
    return Crash


@pytest.fixture
def describe_offer():
    return offer


@pytest.fixture
def dying():
    """Run until the crash: `async with dying(house, write): …` says at which write; `.died` whether it came."""

    @asynccontextmanager
    async def dying(house: House, at: int):
        outcome = SimpleNamespace(died=False)
        house.fault.at, house.fault.seen = at, 0
        try:
            yield outcome
        except Crash:
            outcome.died = True
        finally:
            house.fault.at = None

    return dying
