"""A provider bound to a target of the test's own, with a clock to turn."""

from __future__ import annotations

from typing import Any

import pytest

from studio.breaker import Breaker
from studio.providers.contract import ProviderSpec
from studio.providers.limits import Limits
from studio.providers.wrapper import BoundProvider


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bind() -> Any:
    def build(target: Any, *, slots: int = 8, rate: str | None = None, **spec: Any) -> BoundProvider:
        time = Time()
        declared = ProviderSpec("fake", "image", "x:y", **spec)
        bound = BoundProvider(declared, target, Limits(slots, rate, time), Breaker(clock=time))
        bound.time = time  # type: ignore[attr-defined]
        return bound

    return build
