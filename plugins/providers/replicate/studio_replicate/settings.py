"""The section `[replicate]` of the configuration."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from studio_replicate.defaults import MODELS

LOOPBACK = ("127.0.0.1", "localhost")
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Kind = Literal["image", "image_edit", "video", "music"]
Source = Literal[
    "prompt", "negative", "seed", "width", "height", "aspect_ratio", "image", "mask", "reference",
    "references", "duration_s", "fps", "movement", "mood", "tempo_bpm",
]  # fmt: skip
"""What of a request can be mapped to an input of a model; `inputs.py` says what each one is."""
Operation = Literal["inpaint", "outpaint", "remove_background", "upscale", "variation"]
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


class ReplicateModel(BaseModel):
    """One model that Studio offers: where it is, what it takes, what it costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    capability: Kind
    model: ModelId
    """`owner/name` (official models), `owner/name:<64 hex>`, `<64 hex>`, or `deployments/owner/name`."""
    fields: dict[Source, str]
    """What of our request goes into which of the model's inputs."""
    fixed: dict[str, Any] = {}
    """Inputs that are always sent."""
    params: tuple[str, ...] = ()
    """Inputs that a caller may set; every other one is refused."""
    operations: tuple[Operation, ...] = ()
    """What an editing model can do."""
    durations: tuple[int, ...] = ()
    """The lengths in seconds that it makes; the shortest that is long enough is asked for. Empty: any."""
    mime: str = ""
    """What it makes, where an address does not tell by its ending."""
    wait_s: int = Field(0, ge=0, le=60)
    """How long to hold the call open for the result; 0 answers at once with an id that can be stored."""
    price_kind: Literal["unknown", "per_call", "per_image", "per_second", "per_predict_second"] = "unknown"
    """`per_second` counts seconds of the result, `per_predict_second` those of the machine (`predict_time`)."""
    unit_price_uusd: NonNegativeInt | None = None
    enabled: bool = True

    @model_validator(mode="after")
    def _complete(self) -> ReplicateModel:
        if (self.price_kind == "unknown") != (self.unit_price_uusd is None):
            raise ValueError("price_kind and unit_price_uusd belong together")
        if self.capability == "image_edit" and not self.operations:
            raise ValueError("an editing model names its operations")
        taken = [*self.fields.values(), *self.fixed]
        if both := sorted(set(taken) & set(self.params)):
            raise ValueError(f"{', '.join(both)}: set by Studio, so no caller may set it")
        return self


class ReplicateSettings(BaseModel):
    """Off without `api_token`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_token: SecretStr | None = Field(None, json_schema_extra={"env": "REPLICATE_API_TOKEN"})
    webhook_secret: Annotated[SecretStr, AfterValidator(_usable)] | None = Field(
        None, json_schema_extra={"env": "REPLICATE_WEBHOOK_SECRET"}
    )
    """Without one it is fetched from the account, and again when a signature does not fit."""
    base_url: str = Field(
        "https://api.replicate.com", pattern=r"^(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$"
    )
    output_hosts: tuple[Host, ...] = Field(("replicate.delivery",), min_length=1)
    """Where results may lie, subdomains too; an address elsewhere is not fetched."""
    deadline_s: float = Field(30.0, gt=0)
    cancel_after_s: int = Field(3600, ge=5)
    max_input_bytes: int = Field(50_000_000, gt=0)
    priority: int = 100
    models: dict[str, ReplicateModel] = Field(default={}, validate_default=True)

    @field_validator("models", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        """Lay the configuration over the models that come with the plugin, key by key."""
        if not isinstance(given, dict):
            return given
        known = {
            name: {**MODELS.get(name, {}), **changes}
            for name, changes in given.items()
            if isinstance(changes, dict)
        }
        return {**MODELS, **given, **known}

    @property
    def file_hosts(self) -> tuple[str, ...]:
        """Return where results may lie, as `ProviderSpec` says it; on this machine only for a server on it."""
        named = [part for host in self.output_hosts for part in (host, f"*.{host}")]
        return (*named, *(LOOPBACK if self.base_url.startswith("http://") else ()))

    def offered(self, capability: str) -> dict[str, ReplicateModel]:
        """Return the models of a capability, in the order of the configuration."""
        return {
            name: model
            for name, model in self.models.items()
            if model.enabled and model.capability == capability
        }
