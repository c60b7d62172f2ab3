"""Where the two databases are, and how long a call may take."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class DatabaseSettings(BaseModel):
    """The table `[database]`. Without a URL the plugin that answers `database_backend` gives one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr | None = None
    stories_url: SecretStr | None = None
    """A second server for the `stories` database; None keeps both on one client."""
    studio_name: str = Field("studio", min_length=1, max_length=63, pattern=r'^[^/\\. "$]+$')
    stories_name: str = Field("stories", min_length=1, max_length=63, pattern=r'^[^/\\. "$]+$')
    driver: Literal["pymongo", "motor"] = "pymongo"
    timeout_ms: int = Field(1400, ge=50, le=60_000)
    """Time of one call, retries included. A server that does not answer may take half a second more, so often the
    driver looks: with this one every refusal is out within 2 s (measured: 1.50 to 2.01 s with 1500)."""
