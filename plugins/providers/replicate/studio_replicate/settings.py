"""The section `[replicate]` of the configuration."""

import base64
import binascii
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from studio_jobvendor.api import Host, HostedModel, HostedSettings, Origin
from studio_replicate.defaults import MODELS

ModelId = Annotated[
    str,
    Field(pattern=r"^(deployments/)?[\w-][\w.-]*/[\w-][\w.-]*$|^([\w-][\w.-]*/[\w-][\w.-]*:)?[0-9a-f]{64}$"),
]


def signing_key(secret: str) -> bytes:
    """Return the key of a `whsec_<base64>` secret; raises ValueError when no signature can be made with it."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("the signing secret of webhooks looks like whsec_<base64>") from error
    if not key:
        raise ValueError("the signing secret of webhooks is empty")
    return key


def _usable(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


class ReplicateModel(HostedModel):
    """One model that Studio offers, and where it is; `mime` counts where an address does not tell by its ending."""

    model: ModelId
    """`owner/name` (official models), `owner/name:<64 hex>`, `<64 hex>`, or `deployments/owner/name`."""
    wait_s: int = Field(0, ge=0, le=60)
    """How long to hold the call open for the result; 0 answers at once with an id that can be stored."""
    price_kind: Literal["unknown", "per_call", "per_image", "per_second", "per_predict_second"] = "unknown"
    """`per_second` counts seconds of the result, `per_predict_second` those of the machine (`predict_time`)."""


class ReplicateSettings(HostedSettings[ReplicateModel]):
    """Off without `api_token`."""

    known: ClassVar = MODELS

    api_token: SecretStr | None = Field(None, json_schema_extra={"env": "REPLICATE_API_TOKEN"})
    webhook_secret: Annotated[SecretStr, AfterValidator(_usable)] | None = Field(
        None, json_schema_extra={"env": "REPLICATE_WEBHOOK_SECRET"}
    )
    """Without one it is fetched from the account, and again when a signature does not fit."""
    base_url: Origin = "https://api.replicate.com"
    output_hosts: tuple[Host, ...] = Field(("replicate.delivery",), min_length=1)
    cancel_after_s: int = Field(3600, ge=5)

    @property
    def address(self) -> str:
        """The API's address."""
        return self.base_url
