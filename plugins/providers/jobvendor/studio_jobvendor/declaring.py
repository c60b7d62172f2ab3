"""What a vendor of hosted models offers, and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from studio import Estimate, ModelSpec, ProviderSpec
from studio_jobvendor.inputs import UPLOADS_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio import GenerationRequest
    from studio_jobvendor.inputs import Inputs
    from studio_jobvendor.settings import HostedModel, HostedSettings

_KNOWN = ("per_call", "per_image", "per_second")
"""Kinds that the kernel can count; what else a vendor bills by is unknown before."""


def specs_of(settings: HostedSettings[Any], capability: str) -> tuple[ModelSpec, ...]:
    """Return what is offered, with the declared prices."""
    return tuple(_spec(name, model) for name, model in settings.offered(capability).items())


def _spec(name: str, model: HostedModel) -> ModelSpec:
    known = model.price_kind in _KNOWN
    return ModelSpec(
        name,
        cast("Any", model.price_kind if known else "unknown"),
        model.unit_price_uusd if known else None,
        limits={"duration_s": max(model.durations)} if model.durations else {},
        formats=(model.mime,) if model.mime else (),
    )


def declared(
    name: str, settings: HostedSettings[Any], targets: Mapping[str, str], missing: str | None
) -> list[ProviderSpec]:
    """Return a provider for each capability that has a model; `missing` says what to set before they are on."""
    return [
        ProviderSpec(
            name=name, capability=capability, target=target, models=models, priority=settings.priority,
            deadline_s=settings.deadline_s + UPLOADS_S, missing=missing, webhooks=True,
            file_hosts=settings.file_hosts,
        )
        for capability, target in targets.items() if (models := specs_of(settings, capability))
    ]  # fmt: skip


def estimate_of(
    inputs: Inputs, name: str, model: HostedModel, request: GenerationRequest, later: Mapping[str, str]
) -> Estimate:
    """Say what a request would cost, where its units are known before; `later` says why not, by kind of price."""
    price, kind = model.unit_price_uusd, model.price_kind
    if kind in ("per_call", "per_image"):
        return Estimate(cost_uusd=price)
    if kind == "per_second" and price is not None:
        seconds = inputs.sources_of(request, model).get("duration_s")
        return Estimate(cost_uusd=seconds * price if isinstance(seconds, int) else None)
    return Estimate(cost_uusd=None, note=later.get(kind, f"no price is configured for {name}"))
