"""Who offers which capability: declared at start, imported at first use, chosen by dict look-up."""

from __future__ import annotations

import asyncio
import importlib
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from studio.boundary import contained
from studio.breaker import Breaker
from studio.errors import (
    InvalidInputError,
    OutcomeUnknownError,
    ProviderError,
    ProviderUnavailableError,
    StudioError,
)
from studio.jobs.contract import CostHold, CostSettlement
from studio.jobs.cost import bill_of, hold_cost, settle_cost
from studio.providers.limits import Limits
from studio.providers.wrapper import BoundProvider, declared_price, refuse_foreign_files
from studio.telemetry import get_logger, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from studio.auth import Actor
    from studio.dispatch import Dispatcher
    from studio.plugins.context import PluginContext
    from studio.providers.contract import Generation, ProviderSpec
    from studio.providers.requests import GenerationRequest
    from studio.settings import Settings

NOW_POLL_S = 0.2
ENDED = ("succeeded", "failed", "cancelled")
SETTLE_AGAIN_S = (0.1, 0.5, 2.0)
"""Pauses before the owner of cost is told again how a call at once ended: no scanner comes for that."""
log = get_logger("studio.providers")


class _Entry:
    def __init__(
        self, plugin: str, ctx: PluginContext, spec: ProviderSpec, limits: Limits, breaker: Breaker
    ) -> None:
        self.plugin, self.spec, self.failure = plugin, spec, spec.missing
        self.breaker, self._limits, self._ctx = breaker, limits, ctx
        self._bound: BoundProvider | None = None

    def bound(self) -> BoundProvider:
        if self._bound is None and self.failure is None:
            module, _, name = self.spec.target.partition(":")
            with contained(self._failed):  # a vendor's module; its reason is kept and shown
                target = getattr(importlib.import_module(module), name)(self._ctx)
                self._bound = BoundProvider(self.spec, target, self._limits, self.breaker)
        if self._bound is None:
            raise ProviderUnavailableError(f"{self.spec.name} is off: {self.failure}")
        return self._bound

    def _failed(self, error: Exception) -> None:
        what = f"{self.spec.target} of plugin {self.plugin!r}"
        self.failure = redact(f"{what}: {type(error).__name__}: {error}")

    def price(self, request: GenerationRequest) -> float:
        """Say what the request would cost here; infinite when nobody knows, or its module cannot say."""
        cost = None
        with contained():  # a vendor's module: it says what is wrong when it is asked to work
            cost = self.bound().estimate(request).cost_uusd
        return float("inf") if cost is None else cost

    def describe(self) -> dict[str, Any]:
        wait = self.breaker.wait_s
        reason = self.failure or (f"out of order, asked again in {wait:.0f} s" if wait else None)
        return {
            "capability": self.spec.capability,
            "provider": self.spec.name,
            "models": [asdict(model) for model in self.spec.models],
            "webhooks": self.spec.webhooks,
            "deadline_s": self.spec.deadline_s,
            "plugin": self.plugin,
            "available": reason is None,
            "reason": reason,
        }


class Providers:
    """All providers of this installation; `clock` in seconds."""

    def __init__(
        self,
        settings: Settings,
        dispatcher: Dispatcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs, self._dispatcher, self._clock = settings.jobs, dispatcher, clock
        self._limits: dict[str, Limits] = {}
        self._entries: dict[str, dict[str, _Entry]] = {}

    def register(self, plugin_name: str, ctx: PluginContext, specs: Iterable[ProviderSpec]) -> None:
        """Take in a plugin's declarations; a name that another plugin has was refused when they were declared."""
        for spec in specs:
            entries = self._entries.setdefault(spec.capability, {})
            if spec.name not in self._limits:
                rate = self._jobs.provider_rates.get(spec.name)
                self._limits[spec.name] = Limits(self._jobs.provider_concurrency, rate, self._clock)
            breaker = Breaker(clock=self._clock)
            entries[spec.name] = _Entry(plugin_name, ctx, spec, self._limits[spec.name], breaker)
            ordered = sorted(entries.values(), key=lambda e: (*self._rank(e), e.spec.name))
            self._entries[spec.capability] = {entry.spec.name: entry for entry in ordered}

    def _rank(self, entry: _Entry) -> tuple[int, int]:
        preferred = self._jobs.provider_order.get(entry.spec.capability, [])
        place = preferred.index(entry.spec.name) if entry.spec.name in preferred else len(preferred)
        return place, entry.spec.priority

    def get(
        self,
        capability: str,
        provider: str | None = None,
        model: str | None = None,
        *,
        request: GenerationRequest | None = None,
        without: Collection[str] = (),
        steady: bool = False,
    ) -> BoundProvider:
        """Return the named provider, or the best that has `model` and is none of those `without`.

        Best is: its circuit closed, then the configured order, then priority, then (with a `request`) the known lower
        price, then the name; with `steady` an open circuit changes nothing. Raises ProviderUnavailableError saying what
        to set, InvalidInputError for a name or model nobody has.
        """
        fitting = self._fitting(capability, provider, model)
        chosen = [entry for entry in fitting if entry.spec.name not in without]
        places = [(not steady and entry.breaker.wait_s > 0, *self._rank(entry)) for entry in chosen]
        tied = [request is not None and places.count(place) > 1 for place in places]
        keys = [
            (*place, entry.price(request) if tie and request else 0.0)
            for entry, place, tie in zip(chosen, places, tied, strict=True)
        ]
        reasons = []
        for _, entry in sorted(zip(keys, chosen, strict=True), key=lambda pair: pair[0]):
            try:
                return entry.bound()
            except ProviderUnavailableError as error:
                reasons.append(error.detail)
        detail = "; ".join(reasons) or f"no plugin that is on offers {capability}"
        raise ProviderUnavailableError(f"Nobody can do this now: {detail}.")

    def _fitting(self, capability: str, provider: str | None, model: str | None) -> list[_Entry]:
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
        return fitting

    def price(
        self, capability: str, provider: str, model: str | None, usage: Mapping[str, int]
    ) -> int | None:
        """Return what a usage costs by the declared price, also of a provider that is off; None: not known."""
        entry = self._entries.get(capability, {}).get(provider)
        return declared_price(entry.spec, model, usage) if entry is not None else None

    def webhook_parser(self, provider: str) -> BoundProvider | None:
        """Return who reads a vendor's calls: of its entries with `webhooks` the first that is on, by capability.

        None when nobody of this name calls back. Raises ProviderUnavailableError while all of them are off.
        """
        of_name = [entries[provider] for _, entries in sorted(self._entries.items()) if provider in entries]
        calling = sorted((e for e in of_name if e.spec.webhooks), key=lambda e: e.failure is not None)
        return calling[0].bound() if calling else None

    def check_files(self, capability: str, provider: str, generation: Generation) -> None:
        """Raise ProviderRejectedError for a file that lies elsewhere than the provider declares."""
        entry = self._entries.get(capability, {}).get(provider)
        if entry is not None:
            refuse_foreign_files(entry.spec, generation)

    def file_hosts(self, provider: str) -> tuple[str, ...]:
        """Return where the files of a provider may lie, whatever its capability; () when it is not there."""
        specs = (entries[provider].spec for entries in self._entries.values() if provider in entries)
        return tuple(dict.fromkeys(host for spec in specs for host in spec.file_hosts))

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

        Raises BudgetExceededError when refused, ProviderUnavailableError when no turn came, ProviderError when it
        fails or passes its deadline, which counts from its turn on.
        """
        bound = self.get(capability, provider, request.model, request=request)
        job = await self._held(bound, request, actor, project_id)
        generation: Generation | None = None
        loop, end = asyncio.get_running_loop(), 0.0

        def sent() -> None:
            nonlocal end
            job["sent"], end = job["attempt"], loop.time() + bound.spec.deadline_s

        try:
            generation = await bound.submit(request, sent=sent)
            async with asyncio.timeout_at(end):
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
            await self._settle(bound, request, job, done)
        if generation.state != "succeeded":
            reason = generation.error.message if generation.error else generation.state
            raise ProviderError(f"{bound.name}: {reason}")
        return generation

    async def _held(
        self, bound: BoundProvider, request: GenerationRequest, actor: Actor, project_id: str
    ) -> dict[str, Any]:
        """Hold the estimated cost, and return what `bill_of` reads of a job: one that was not sent yet."""
        estimate = bound.estimate(request).cost_uusd
        keys = (project_id, actor.user_id, bound.name, request.model)
        hold = CostHold(request.job_id, 1, *keys, estimate, actor.api_key_id)
        await hold_cost(self._dispatcher, hold)
        return {
            "attempt": 1,
            "sent": 0,
            "repeatable": bound.spec.idempotent_submit,
            "estimate_uusd": estimate,
        }

    async def _settle(
        self, bound: BoundProvider, request: GenerationRequest, job: dict[str, Any], done: Generation | None
    ) -> None:
        bill = bill_of(job, done, bound.price(request.model, done.usage) if done else None)
        for pause in (*SETTLE_AGAIN_S, None):
            if await settle_cost(self._dispatcher, CostSettlement(request.job_id, **bill)):
                return
            if pause is not None:
                await asyncio.sleep(pause)
        log.error("cost_not_settled", job_id=request.job_id, provider=bound.name, kind=bill["kind"])
