"""The `[jobs]` table of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class JobsSettings(BaseModel):
    """How jobs run. All times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker: bool = True
    """Run jobs inside this process; False only takes orders and leaves the work to `studio worker`."""
    concurrency: int = Field(4, ge=1, le=256)
    """Steps at a time in this process."""
    lease_s: float = Field(15.0, gt=0)
    """A worker that says nothing for this long has lost its job; it says so three times as often."""
    stop_s: float = Field(3.0, ge=0)
    """How long running steps get at a stop; then they are cut and their jobs go to another process."""
    scan_s: float = Field(1.0, gt=0)
    """How often the scanner looks for jobs that nobody rang for."""
    retry_s: float = Field(2.0, gt=0)
    """First delay before another attempt; it doubles up to 60 s."""
    provider_concurrency: int = Field(8, ge=1)
    """Calls at a time to one provider."""
    provider_order: dict[str, list[str]] = {}
    """Which providers of a capability to prefer, e.g. {"image": ["replicate", "local"]}."""
