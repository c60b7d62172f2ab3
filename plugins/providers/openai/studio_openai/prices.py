"""What a model costs, as the operator says. A price that nobody has set stays unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from studio import ModelSpec, ProviderRejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PriceKind = Literal[
    "free", "per_call", "per_image", "per_second", "per_1k_characters", "per_1m_tokens", "unknown"
]


class Price(BaseModel):
    """One model's price in integer micro-USD per unit of `kind`; `output_uusd` is for tokens of the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: PriceKind
    unit_uusd: int | None = Field(None, ge=0)
    output_uusd: int | None = Field(None, ge=0)


def priced(
    names: Sequence[str], prices: Mapping[str, Price], formats: tuple[str, ...] = ()
) -> tuple[ModelSpec, ...]:
    """Return a declaration for each model, with its price if there is one."""
    unknown = Price(kind="unknown")
    found = [(name, prices.get(name, unknown)) for name in names]
    return tuple(
        ModelSpec(name, price.kind, price.unit_uusd, price.output_uusd, formats=formats)
        for name, price in found
    )


def free_unless_priced(names: Sequence[str], prices: Mapping[str, Price]) -> tuple[ModelSpec, ...]:
    """Return a declaration for each model of a service that costs nothing, or what the operator says."""
    free = Price(kind="free", unit_uusd=0)
    return priced(names, {name: prices.get(name, free) for name in names})


def all_offered(prices: Mapping[str, object], *offered: Sequence[str]) -> None:
    """Raise ValueError for a price of a model that is not offered: a slip of the pen would leave the other unknown."""
    if unknown := sorted(set(prices) - {name for names in offered for name in names}):
        raise ValueError(f"prices: no such model is offered: {', '.join(unknown)}")


def chosen(models: Sequence[ModelSpec], wanted: str | None) -> ModelSpec:
    """Return the model that is wanted, or the first; raises ProviderRejectedError for one that is not offered."""
    for model in models:
        if wanted in (None, model.name):
            return model
    offered = ", ".join(model.name for model in models)
    raise ProviderRejectedError(f"There is no model {wanted!r} here: choose from {offered}.", input="model")
