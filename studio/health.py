"""Liveness says that the process runs, readiness that it can do its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One check: `probe` returns a note, or raises. A `critical` failure makes `/readyz` answer 503."""

    name: str
    probe: Callable[[], Awaitable[str]]
    critical: bool = True
    deadline_s: float = 2.0
