"""The plugin's section of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class StreaqSettings(BaseModel):
    """All times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: str = Field("jobs", pattern=r"^[a-z0-9_-]{1,40}$")
    """Name of the queue, after the cache's prefix."""
    idle_s: float = Field(10.0, ge=0.5)
    """A ring of a worker that says nothing for so long goes to another. Keep it below `jobs.lease_s`."""
    stop_s: float = Field(2.0, ge=0)
    """How long running steps may take at the stop before they are cut."""
