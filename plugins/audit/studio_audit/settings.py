"""Settings of the audit plugin, `[audit]` or `STUDIO_AUDIT__…`."""

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """How long entries are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_days: int = Field(400, ge=1, le=3650)
