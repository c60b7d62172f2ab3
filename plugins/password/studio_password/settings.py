"""Settings of the password plugin, `[password]` or `STUDIO_PASSWORD__…`."""

from pydantic import BaseModel, ConfigDict, Field


class PasswordSettings(BaseModel):
    """Off until `enabled`. `tries` wrong passwords for one address in `window_s` seconds, then 429."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    min_length: int = Field(12, ge=8, le=64)
    tries: int = Field(10, ge=3, le=100)
    window_s: int = Field(900, ge=60, le=86_400)
