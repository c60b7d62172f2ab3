"""The plugin's section of the configuration, `[socketio]` or `STUDIO_SOCKETIO__…`."""

from pydantic import BaseModel, ConfigDict, Field


class SocketioSettings(BaseModel):
    """How many connections one process keeps, and how much one may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total: int = Field(5_000, ge=1)
    per_user: int = Field(20, ge=1)
    packets_per_10s: int = Field(200, ge=10)
    """A client that sends more is cut: ours sends a few when it connects and joins."""
