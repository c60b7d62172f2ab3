"""Runs the reconciler each minute and the equality check each night, in one process at a time."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from studio import ConflictError, StudioError
from studio_usage.check import EqualityCheck
from studio_usage.collections import CHECKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Doc, PluginContext
    from studio_usage.reconcile import Reconciler
    from studio_usage.service import CostService
    from studio_usage.settings import UsageSettings

RUN_MS = 3_600_000
"""A nightly check that has not ended after so long is begun again by somebody else."""
KEPT = 100
"""Differences that are kept of each night."""


class Schedule:
    """Who runs is decided in the database: a night, and each look of the reconciler, belong to one process."""

    def __init__(
        self,
        ctx: PluginContext,
        costs: CostService,
        reconciler: Reconciler,
        settings: UsageSettings,
        clock: Callable[[], int],
    ) -> None:
        self._ctx, self._costs, self._reconciler, self._settings = ctx, costs, reconciler, settings
        self._checks, self._clock = ctx.database[CHECKS], clock

    async def run(self) -> None:
        """Run for ever."""
        while True:
            await asyncio.sleep(self._settings.reconcile_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            try:
                await self.turn()
            except StudioError as error:
                self._ctx.log.warning("usage_turn_failed", code=error.code, detail=error.detail)

    async def turn(self) -> None:
        """Do what is due and is nobody else's."""
        now = self._clock()
        if await self._mine("reconcile", now, int(self._settings.reconcile_s * 500)):
            await self._reconciler.run()
        at = datetime.fromtimestamp(now / 1000, UTC)
        if at.hour >= self._settings.check_hour and await self._mine(at.date().isoformat(), now, RUN_MS):
            await self._nightly(at.date().isoformat())

    async def _mine(self, name: str, now: int, for_ms: int) -> bool:
        """Take a turn for so long; what is finished is nobody's any more."""
        fields = {"until": now + for_ms, "finished_at": None}
        with suppress(ConflictError):
            if await self._checks.get(name) is None:
                await self._checks.insert({"_id": name, **fields})
                return True
        free = {"_id": name, "until": {"$lte": now}, "finished_at": None}
        return bool(await self._checks.update(free, {"$set": fields}))

    async def _nightly(self, name: str) -> None:
        report = await self.check(self._settings.check_days)
        kept = report | {"differences": report["differences"][:KEPT], "finished_at": self._clock()}
        await self._checks.update(name, {"$set": kept})

    async def check(self, days: int | None, *, repair: bool = False) -> Doc:
        """Run the equality check and log what differs."""
        report = await EqualityCheck(self._ctx, self._costs, self._reconciler, self._clock).run(
            days, repair=repair
        )
        tell = self._ctx.log.error if report["differences"] else self._ctx.log.info
        told = {name: report[name] for name in ("budgets", "attempts", "jobs", "flagged", "repaired")}
        tell("usage_checked", **told, differences=len(report["differences"]))
        return report
