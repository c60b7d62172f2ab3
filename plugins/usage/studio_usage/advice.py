"""What providers declare of prices, and what would help whoever was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from studio_usage.periods import shown

if TYPE_CHECKING:
    from studio import Doc

MICRO = 1_000_000


def dollars(uusd: int) -> str:
    """Return micro-USD for people, exact to the last digit that is not zero."""
    whole, part = divmod(abs(uusd), MICRO)
    cents = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if uusd < 0 else ''}${whole}.{cents}"


class Offers(Protocol):
    """What is asked of the kernel's providers."""

    def describe(self) -> list[dict[str, Any]]:
        """Return each provider with whether it is available, and its models with their prices."""
        ...


class Prices:
    """Reads the declarations of the providers that are installed."""

    def __init__(self, providers: Offers) -> None:
        self._providers = providers
        self._units: dict[tuple[str, str | None], int | None] = {}

    def unit_uusd(self, provider: str, model: str | None) -> int | None:
        """Return the declared price of one unit of a model, None when none is declared."""
        place = (provider, model)
        if place not in self._units:
            prices = [
                spec["unit_price_uusd"]
                for entry in self._providers.describe()
                if entry["provider"] == provider
                for spec in entry["models"]
                if spec["name"] == model and spec["price_kind"] != "unknown"
            ]
            self._units[place] = prices[0] if prices else None
        return self._units[place]

    def free_instead(self, provider: str, model: str | None) -> str | None:
        """Return an available provider that does for nothing what `model` of `provider` does."""
        offers = self._providers.describe()
        wanted = {o["capability"] for o in offers if o["provider"] == provider and _has(o, model)}
        free: dict[str, set[str]] = {}
        for offer in offers:
            if offer["available"] and offer["models"] and all(map(_is_free, offer["models"])):
                free.setdefault(offer["provider"], set()).add(offer["capability"])
        fitting = sorted(name for name, does in free.items() if wanted and wanted <= does)
        return next((name for name in fitting if name != provider), None)


def _has(offer: Doc, model: str | None) -> bool:
    return model is None or not offer["models"] or any(spec["name"] == model for spec in offer["models"])


def _is_free(spec: Doc) -> bool:
    return bool(spec["price_kind"] == "free")


def refusal(budget: Doc, amount: int | None) -> str:
    """Say which budget refuses `amount` (None: nobody knows how much), why, and when it begins anew."""
    name = f"The budget of this {budget['scope'].replace('_', ' ')} ({WORDS[budget['period']]})"
    if amount is None:
        why = "does not allow a call whose price is unknown"
    elif budget["scope"] == "provider":  # its figures are the operator's
        why = "is used up"
    else:
        used = dollars(budget["held_uusd"] + budget["spent_uusd"])
        limit, needed = dollars(budget["limit_uusd"]), dollars(amount)
        why = f"is used up: {used} of {limit} are spent or held, and this needs {needed}"
    resets = budget["resets_at"]
    return f"{name} {why}." + (f" It begins anew on {shown(resets, budget['tz'])}." if resets else "")


WORDS = {"total": "in all", "day": "daily", "month": "monthly"}


def helps(budget: Doc, amount: int | None, free: str | None) -> tuple[dict[str, Any], ...]:
    """Return what would help, for machines."""
    found: list[dict[str, Any]] = []
    if budget["resets_at"] is not None and amount is not None:
        found.append({"action": "wait", "until": budget["resets_at"]})
    raising: dict[str, Any] = {"action": "raise_budget", "budget": budget["rule_id"]}
    if amount is not None and budget["scope"] != "provider":
        used = int(budget["held_uusd"]) + int(budget["spent_uusd"])
        raising["neededUusd"] = used + amount
    found.append(raising)
    if free is not None:
        found.append({"action": "use_provider", "provider": free})
    return tuple(found)
