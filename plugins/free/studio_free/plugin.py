"""The null owner of cost: named in `[owners]`, it says yes and records nothing."""

from __future__ import annotations

from studio import CostDecision, CostHold, CostSettlement, Manifest, PluginContext, StudioHooks, hookimpl


class Plugin(StudioHooks):
    """Allows every hold. Jobs still record their own cost."""

    manifest = Manifest(name="free")

    @hookimpl
    async def hold_cost(self, ctx: PluginContext, hold: CostHold) -> CostDecision:
        """Allow it, whatever it costs."""
        return CostDecision(allowed=True)

    @hookimpl
    async def settle_cost(self, ctx: PluginContext, settlement: CostSettlement) -> bool:
        """Agree that there is nothing to record."""
        return True
