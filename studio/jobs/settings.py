"""The `[jobs]` table of the configuration."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[str, Field(pattern=r"^[1-9]\d*/[1-9]\d*(\.\d+)?$")]
"""Calls per seconds: "10/1"."""


class JobsSettings(BaseModel):
    """How jobs run. All times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker: bool = True
    """Run jobs inside this process; False only takes orders and leaves the work to `studio worker`."""
    concurrency: int = Field(4, ge=1, le=256)
    """Steps at a time in this process, without those that wait for a vendor: of them as many for each provider."""
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
    provider_rates: dict[str, Rate] = {}
    """How often a provider may be called by one process, e.g. {"fal": "10/1"}."""
    user_concurrency: int | None = Field(None, ge=1)
    """Jobs of one user under way at one provider; more wait in the queue. None: no limit."""
    fallback: bool = True
    """Go to the next provider when one fails before anything was sent, and the order named none."""
