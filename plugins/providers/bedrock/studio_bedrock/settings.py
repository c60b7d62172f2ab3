"""The section `[bedrock]` of the configuration."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    SecretStr,
    StringConstraints,
    field_validator,
)

from studio_bedrock.api import BedrockModelId

LOOPBACK = ("127.0.0.1", "localhost", "::1")
Profile = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9:.-]{0,127}$")]
"""The id of an inference profile. Source: botocore 1.44.5, ConversationalModelId."""


class BedrockPrice(BaseModel):
    """Micro-USD for 1,000,000 tokens, by kind. All four are needed: a part that is not known would be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: NonNegativeInt
    output: NonNegativeInt
    cache_read: NonNegativeInt
    cache_write: NonNegativeInt


class BedrockSettings(BaseModel):
    """Off without `api_key` and `account_id`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "AWS_BEARER_TOKEN_BEDROCK"})
    account_id: str = Field("", pattern=r"^(\d{12})?$")
    region: str = Field("us-east-1", pattern=r"^(af|ap|ca|eu|il|me|mx|sa|us)-[a-z]+-\d$")
    base_url: str = ""
    """Instead of the region's own address: a server on this machine."""
    default_model: Profile = BedrockModelId.CLAUDE_SONNET_4_6.value
    profiles: list[Profile] = Field(default_factory=list)
    prices: dict[Profile, BedrockPrice] = Field(default_factory=dict)
    cache_ttl: Literal["1h", "5m", "off"] = "1h"
    deadline_s: float = Field(120.0, gt=0)
    max_answer_bytes: int = Field(4_000_000, gt=0)

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
        return self.base_url or f"https://bedrock-runtime.{self.region}.amazonaws.com"

    @property
    def missing(self) -> str | None:
        """Say what to set before the first call; None when nothing is missing."""
        names = [name for name in ("api_key", "account_id") if not getattr(self, name)]
        return f"set {' and '.join(f'STUDIO_BEDROCK__{name.upper()}' for name in names)}" if names else None
