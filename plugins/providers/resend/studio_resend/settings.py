"""The section `[resend]` of the configuration."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _signing_secret(value: SecretStr) -> SecretStr:
    """Refuse what no signature could ever be checked with; Resend shows the secret as `whsec_<base64>`."""
    text = value.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if text and not key:
        raise ValueError("the signing secret of a webhook looks like whsec_<base64>")
    return value


class ResendSettings(BaseModel):
    """Whose account sends, and as whom. Without `api_key` and `sender` Resend is off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "RESEND_API_KEY"})
    sender: str | None = Field(
        None,
        min_length=3,
        max_length=320,
        pattern=r"^[^\r\n\x00]+$",
        json_schema_extra={"env": "RESEND_FROM"},
    )
    """An address of a domain that is verified there, such as "Studio <mail@example.com>"."""
    reply_to: str | None = Field(None, min_length=3, max_length=320, pattern=r"^[^\r\n\x00]+$")
    webhook_secret: Annotated[SecretStr, AfterValidator(_signing_secret)] | None = Field(
        None, json_schema_extra={"env": "RESEND_WEBHOOK_SECRET"}
    )
    api_url: str = Field(
        "https://api.resend.com",
        pattern=r"^(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$",
        json_schema_extra={"env": "RESEND_API_URL"},
    )
    priority: int = 100
    """Lower comes first among providers of mail."""
