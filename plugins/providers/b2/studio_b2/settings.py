"""The section `[b2]` of the configuration."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SMALLEST_PART = 5 * 1024 * 1024
_NEEDED = ("key_id", "application_key", "bucket")


class B2Settings(BaseModel):
    """Off without `key_id`, `application_key` and `bucket`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_id: SecretStr | None = Field(None, json_schema_extra={"env": "B2_APPLICATION_KEY_ID"})
    application_key: SecretStr | None = Field(None, json_schema_extra={"env": "B2_APPLICATION_KEY"})
    bucket: str = Field("", pattern=r"^([a-zA-Z0-9][a-zA-Z0-9-]{1,61}[a-zA-Z0-9])?$")
    region: str = Field("us-west-004", pattern=r"^[a-z]{2}-[a-z]+-\d{3}$")
    base_url: str = ""
    """Instead of the region's own address: a server on this machine."""
    prefix: str = Field("", pattern=r"^([a-zA-Z0-9._-]+/)*$")
    """What every name in the bucket begins with, ending with a slash."""
    multipart_bytes: int = Field(16 * 1024 * 1024, ge=SMALLEST_PART, le=1_000_000_000)
    max_file_bytes: int = Field(20_000_000_000, gt=0)
    cache_dir: Path = Path(".studio/b2")
    cache_bytes: int = Field(5_000_000_000, ge=0)
    call_deadline_s: float = Field(120.0, gt=0)
    deadline_s: float = Field(1_800.0, gt=0)

    @field_validator("base_url")
    @classmethod
    def _on_this_machine(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (
            parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK or parts.username
        ):
            raise ValueError("an http:// or https:// address on this machine")
        return value.rstrip("/")

    @property
    def address(self) -> str:
        """Return the base address of every call."""
        return self.base_url or f"https://s3.{self.region}.backblazeb2.com"

    @property
    def missing(self) -> str | None:
        """Say what to set before the first call; None when nothing is missing."""
        names = [f"STUDIO_B2__{name.upper()}" for name in _NEEDED if not getattr(self, name)]
        return f"set {', '.join(names)}" if names else None
