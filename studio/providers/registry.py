"""Who offers which capability: declared at start, imported at first use, chosen by dict look-up."""

from __future__ import annotations

import asyncio
import importlib
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from studio.breaker import Breaker
from studio.errors import (
    InvalidInputError,
    OutcomeUnknownError,
    PluginError,
    ProviderError,
    ProviderUnavailableError,
    StudioError,
)
from studio.jobs.contract import CostHold, CostSettlement
from studio.jobs.cost import bill_of, hold_cost, settle_cost
from studio.providers.wrapper import BoundProvider
from studio.telemetry import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio.auth import Actor
    from studio.dispatch import Dispatcher
    from studio.plugins.context import PluginContext
    from studio.providers.contract import Generation, ProviderSpec
    from studio.providers.requests import GenerationRequest
    from studio.settings import Settings

NOW_POLL_S = 0.2
ENDED = ("succeeded", "failed", "cancelled")


class _Entry:
    def __init__(self, plugin: str, ctx: PluginContext, spec: ProviderSpec, slots: asyncio.Semaphore) -> None:
        self.plugin, self.spec, self.failure = plugin, spec, spec.missing
        self.breaker = Breaker()
        self._ctx, self._slots = ctx, slots
        self._bound: BoundProvider | None = None

    def bound(self) -> BoundProvider:
        if self._bound is None and self.failure is None:
            module, _, name = self.spec.target.partition(":")
            try:
                target = getattr(importlib.import_module(module), name)(self._ctx)
            except Exception as error:  # noqa: BLE001 - a vendor's module may fail in any way; its reason is kept and shown
                what = f"{self.spec.target} of plugin {self.plugin!r}"
                self.failure = redact(f"{what}: {type(error).__name__}: {error}")
            else:
                self._bound = BoundProvider(self.plugin, self.spec, target, self._slots, self.breaker)
        if self._bound is None:
            raise ProviderUnavailableError(f"{self.spec.name} is off: {self.failure}")
        return self._bound

    def describe(self) -> dict[str, Any]:
        wait = self.breaker.wait_s
        reason = self.failure or (f"out of order, asked again in {wait:.0f} s" if wait else None)
        models = [asdict(model) for model in self.spec.models]
        kept = {"capability": self.spec.capability, "provider": self.spec.name, "plugin": self.plugin}
        return {**kept, "available": reason is None, "reason": reason, "models": models}


class Providers:
    """All providers of this installation. Without a `dispatcher` `generate_now` is refused."""

    def __init__(self, settings: Settings, dispatcher: Dispatcher | None = None) -> None:
        self._order, limit = settings.jobs.provider_order, settings.jobs.provider_concurrency
        self._dispatcher = dispatcher
        self._slots: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(limit))
        self._entries: dict[str, dict[str, _Entry]] = {}

    def register(self, plugin_name: str, ctx: PluginContext, specs: Iterable[ProviderSpec]) -> None:
        """Take in a plugin's declarations; raises PluginError naming both owners of a duplicate."""
        for spec in specs:
            entries = self._entries.setdefault(spec.capability, {})
            if spec.name in entries:
                key, owner = f"{spec.capability}/{spec.name}", entries[spec.name].plugin
                raise PluginError(
                    f"provider {key!r} belongs to plugin {owner!r}, {plugin_name!r} cannot have it too"
                )
            entries[spec.name] = _Entry(plugin_name, ctx, spec, self._slots[spec.name])
            preferred = self._order.get(spec.capability, [])
            rank = {name: position for position, name in enumerate(preferred)}
            ordered = sorted(
                entries.values(),
                key=lambda e: (rank.get(e.spec.name, len(rank)), e.spec.priority, e.spec.name),
            )
            self._entries[spec.capability] = {entry.spec.name: entry for entry in ordered}

    def get(self, capability: str, provider: str | None = None, model: str | None = None) -> BoundProvider:
        """Return the named provider, or the best that is well and has `model`.

        Raises ProviderUnavailableError saying what to set, InvalidInputError for a name or model nobody has.
        """
        entries = self._entries.get(capability, {})
        if provider is not None and provider not in entries:
            raise InvalidInputError(
                f"No provider {provider!r} offers {capability}; choose from {sorted(entries)}."
            )
        chosen = [entries[provider]] if provider is not None else list(entries.values())
        models = {e.spec.name: {m.name for m in e.spec.models} for e in chosen}
        fitting = [e for e in chosen if model is None or model in models[e.spec.name] or not e.spec.models]
        if chosen and not fitting:
            offered = sorted(set[str]().union(*models.values()))
            raise InvalidInputError(
                f"No provider of {capability} has the model {model!r}; choose from {offered}."
            )
        reasons = []
        for entry in sorted(fitting, key=lambda e: e.breaker.wait_s > 0):
            try:
                return entry.bound()
            except ProviderUnavailableError as error:
                reasons.append(error.detail)
        detail = "; ".join(reasons) or f"no plugin that is on offers {capability}"
        raise ProviderUnavailableError(f"Nobody can do this now: {detail}.")

    def describe(self) -> list[dict[str, Any]]:
        """Return each provider with whether it is available, why not, and its models with their prices."""
        return [entry.describe() for entries in self._entries.values() for entry in entries.values()]

    async def generate_now(
        self,
        capability: str,
        request: GenerationRequest,
        actor: Actor,
        project_id: str,
        provider: str | None = None,
    ) -> Generation:
        """Do at once what is no job (a preview): hold, submit, poll, settle; `request.job_id` keys the cost.

        Raises BudgetExceededError when refused, ProviderError when it fails or passes its deadline.
        """
        bound = self.get(capability, provider, request.model)
        if self._dispatcher is None:
            raise ProviderUnavailableError("Nobody is asked for cost here: priced calls are refused.")
        estimate = bound.estimate(request).cost_uusd
        keys = (project_id, actor.user_id, bound.name, request.model)
        await hold_cost(self._dispatcher, CostHold(request.job_id, 1, *keys, estimate))
        job = {"attempt": 1, "sent": 1, "repeatable": bound.spec.idempotent_submit, "estimate_uusd": estimate}
        generation: Generation | None = None
        try:
            async with asyncio.timeout(bound.spec.deadline_s):
                generation = await bound.submit(request)
                while generation.state == "running":
                    await asyncio.sleep(generation.retry_after_s or NOW_POLL_S)
                    generation = await bound.poll(generation.provider_job_id)
        except TimeoutError as error:
            raise OutcomeUnknownError(
                f"{bound.name} took longer than {bound.spec.deadline_s:g} s."
            ) from error
        except StudioError as error:
            if generation is None and not isinstance(error, OutcomeUnknownError):
                job["sent"] = 0
            raise
        finally:
            done = generation if generation and generation.state in ENDED else None
            await settle_cost(self._dispatcher, CostSettlement(request.job_id, **bill_of(job, done)))
        if generation.state != "succeeded":
            reason = generation.error.message if generation.error else generation.state
            raise ProviderError(f"{bound.name}: {reason}")
        return generation
