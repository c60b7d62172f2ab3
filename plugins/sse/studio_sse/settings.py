"""The plugin's section of the configuration, `[sse]` or `STUDIO_SSE__…`."""

from pydantic import BaseModel, ConfigDict, Field


class SseSettings(BaseModel):
    """How many streams one process keeps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total: int = Field(5_000, ge=1)
    per_user: int = Field(20, ge=1)
