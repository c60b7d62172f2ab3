"""What plugins declare of jobs, what the engine and the owner of cost must offer.

States: waiting → queued → claimed → submitted → finalizing → succeeded | failed; … → cancelling → cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from studio.model import Doc
    from studio.providers.contract import Generation
    from studio.providers.requests import GenerationRequest

JobState = Literal[
    "waiting",
    "queued",
    "claimed",
    "submitted",
    "finalizing",
    "succeeded",
    "failed",
    "cancelling",
    "cancelled",
]
"""A job has ended in "succeeded", "failed" and "cancelled"; after "cancelling" its take may still arrive."""
ACTIVE: tuple[JobState, ...] = ("waiting", "queued", "claimed", "submitted", "finalizing", "cancelling")
TERMINAL: tuple[JobState, ...] = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job, e.g. "image.generate", carried out by a provider of `capability`.

    `request` builds the provider's request from the stored job (it may read the database, never write); `accept`
    stores the result exactly once and returns the fields to set on the job, `result_asset_ids` among them.
    Both may run again after a crash, so `accept` must be idempotent per job (`job_id` is its key). `late` True
    means that the job was cancelled meanwhile: keep the take, unselected.
    """

    name: str
    title: str
    capability: str
    request: Callable[[Doc], Awaitable[GenerationRequest]] = field(repr=False)
    accept: Callable[[Doc, Generation, bool], Awaitable[dict[str, Any]]] = field(repr=False)
    max_attempts: int = 3
    poll_s: float = 1.0
    """First delay between polls; it grows to ten times that."""
    deadline_s: float = 900.0
    """From the first claim, or the first time its provider took no call, to the end; then the job fails."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """An order for one job. `input` is what `JobKind.request` reads; `target` is {type, id, slot}."""

    kind: str
    project_id: str
    target: dict[str, Any]
    input: dict[str, Any] = field(default_factory=dict)
    provider: str | None = None
    model: str | None = None
    priority: int = 0
    batch_id: str | None = None
    dedupe_hash: str | None = None
    """Same hash and still active: the running job is returned instead of a new one."""


class JobBackend(Protocol):
    """A doorbell that carries job ids. It may ring twice, late or never: the scanner makes up for it."""

    async def start(self, step: Callable[[str], Awaitable[None]] | None) -> None:
        """Begin to call `step(job_id)`, at most `concurrency` at a time; None: this process only rings."""
        ...

    async def enqueue(self, job_id: str, delay_s: float = 0.0, priority: int = 0) -> None:
        """Ring after `delay_s`, higher `priority` first; raises nothing when the engine is away."""
        ...

    async def stop(self) -> None:
        """Stop taking ids, let running steps end within the caller's deadline."""
        ...


@dataclass(frozen=True, slots=True)
class CostHold:
    """A request to reserve money before a priced call. Unique per (job_id, attempt)."""

    job_id: str
    attempt: int
    project_id: str
    user_id: str
    provider: str
    model: str | None
    amount_uusd: int | None
    """Estimated micro-USD; None when the price is unknown."""
    api_key_id: str | None = None
    """The API key that ordered it; None when a person did."""


@dataclass(frozen=True, slots=True)
class CostDecision:
    """The owner's answer; a refusal says which budget, when it begins anew (UTC ms), and what would help."""

    allowed: bool
    reason: str = ""
    retry_with: tuple[dict[str, Any], ...] = ()
    budget: str = ""
    resets_at: int | None = None


@dataclass(frozen=True, slots=True)
class CostSettlement:
    """The end of a hold: `capture` what it cost (None: unknown), or `release` it."""

    job_id: str
    attempt: int
    kind: Literal["capture", "release"]
    amount_uusd: int | None
    source: Literal["reported", "computed", "unknown"] = "unknown"
    usage: dict[str, int] = field(default_factory=dict)
    """What the provider says was used, by unit (`Generation.usage`); empty when it says nothing."""
