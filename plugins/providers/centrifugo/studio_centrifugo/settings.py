"""The section `[centrifugo]` of the configuration."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Pattern = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]


class CentrifugoSettings(BaseModel):
    """Where Centrifugo is and what its channels are called. Without `api_url` and `api_key` it is off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_url: str | None = Field(
        None, pattern=r"^https?://[^\s?#@]+$", json_schema_extra={"env": "CENTRIFUGO_API_URL"}
    )
    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "CENTRIFUGO_API_KEY"})
    token_secret: SecretStr | None = Field(
        None, min_length=16, json_schema_extra={"env": "CENTRIFUGO_TOKEN_SECRET"}
    )
    """Centrifugo's `client.token.hmac_secret_key` (v5: `token_hmac_secret_key`)."""
    ws_url: str | None = Field(None, pattern=r"^(wss?|https?)://[^\s#@]+$")
    """Told to the front end with its token."""
    token_ttl_s: int = Field(300, ge=30, le=3600)
    product: Pattern = "minimatics"
    """Whose channels the platform's own events go to."""
    channel: Pattern = "{product}:user#{user_id}"
    channels: dict[str, Pattern] = {}
    """Patterns of products that name theirs in another way."""
    room_channel: Pattern = "rooms:{room}"
    debug: bool | None = None
    """Log each message, without what it says; unset: in development."""
    queue: int = Field(5_000, ge=1)
    keep_s: float = Field(60.0, gt=0, le=240)
    """Centrifugo knows a repeated message for 5 minutes."""
    deadline_s: float = Field(5.0, gt=0)
