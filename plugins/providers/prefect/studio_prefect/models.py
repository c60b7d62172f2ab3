"""Prefect's words: states of a run, errors, and what we read of its answers.

Source: answers of a Prefect 3.8.8 server.
"""

import re
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from studio import Fault, Generation, GenerationError, VendorTable

TABLE = VendorTable(
    "Prefect",
    states={
        "SCHEDULED": "running",
        "PENDING": "running",
        "RUNNING": "running",
        "PAUSED": "running",
        "CANCELLING": "running",
        "COMPLETED": "succeeded",
        "FAILED": "failed",
        "CRASHED": "failed",
        "CANCELLED": "cancelled",
    },
    errors={
        "FAILED": Fault("pipeline_failed"),
        "CRASHED": Fault("pipeline_crashed", retryable=True),
        404: Fault("unknown_pipeline", input="name"),
        409: Fault("pipeline_parameters", input="parameters"),
        422: Fault("pipeline_parameters", input="parameters"),
    },
)
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RunState(BaseModel):
    """The state of a run. A later one may undo one that looked final: order by `timestamp`."""

    type: str
    name: str | None = None
    timestamp: datetime
    message: str | None = None

    @property
    def at_ms(self) -> int:
        """When it began, UTC ms."""
        return int(self.timestamp.timestamp() * 1000)


class FlowRun(BaseModel):
    """One run; `state` is missing before its first."""

    id: str
    name: str = ""
    state: RunState | None = None


class Orchestration(BaseModel):
    """What Prefect says to a proposed state. `state` is what counts: `status` REJECT may come with the one wanted."""

    status: str
    state: RunState | None = None


class RunNews(BaseModel):
    """What the automation of the README sends."""

    flow_run_id: str = Field(pattern=RUN_ID.pattern)
    state: str = Field(pattern=r"^[A-Z_]{1,40}$")
    event_id: str = Field("", max_length=100)
    occurred: datetime | None = None


def generation_of(run: FlowRun, url: str | None, poll_s: float) -> Generation:
    """Return a run as the kernel knows generations; raises ProviderError for a state that is not known."""
    shown: dict[str, Any] = {"name": run.name, "url": url}
    if run.state is None:
        return Generation(provider_job_id=run.id, data={"state": "SCHEDULED", **shown}, retry_after_s=poll_s)
    state = TABLE.state(run.state.type)
    error: GenerationError | None = None
    if state == "failed":
        error = TABLE.failure(run.state.type, message=run.state.message or "")
    return Generation(
        provider_job_id=run.id,
        state=state,
        data={"state": run.state.type, "state_name": run.state.name, "at_ms": run.state.at_ms, **shown},
        error=error,
        retry_after_s=poll_s if state == "running" else None,
    )
