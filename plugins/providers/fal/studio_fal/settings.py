"""The section `[fal]` of the configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from studio_fal.defaults import MODELS

LOOPBACK = ("127.0.0.1", "localhost")
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Kind = Literal["image", "image_edit", "video", "music"]
Source = Literal[
    "prompt", "negative", "seed", "width", "height", "size", "aspect_ratio", "image", "mask", "reference",
    "references", "duration_s", "duration_text", "fps", "movement", "mood", "tempo_bpm",
]  # fmt: skip
"""What of a request can be mapped to an input of a model; `inputs.py` says what each one is."""
Operation = Literal["inpaint", "outpaint", "remove_background", "upscale", "variation"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Origin = Annotated[
    str, StringConstraints(pattern=r"^(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$")
]


class FalModel(BaseModel):
    """One model that Studio offers: where it is, what it takes, what it costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    capability: Kind
    endpoint: str = Field(pattern=r"^[a-z0-9][\w-]*(/[a-z0-9][\w.-]*){1,7}$")
    """The whole id, such as `fal-ai/flux/dev`."""
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
    """What it makes, where the answer does not say."""
    price_kind: Literal["unknown", "per_call", "per_image", "per_second", "per_unit"] = "unknown"
    """`per_unit`: by whatever the vendor counts for this model (megapixels, seconds of a machine, …)."""
    unit_price_uusd: NonNegativeInt | None = None
    """What one of the vendor's billable units costs; the units are told with the result."""
    enabled: bool = True

    @model_validator(mode="after")
    def _complete(self) -> FalModel:
        if (self.price_kind == "unknown") != (self.unit_price_uusd is None):
            raise ValueError("price_kind and unit_price_uusd belong together")
        if self.capability == "image_edit" and not self.operations:
            raise ValueError("an editing model names its operations")
        taken = [*self.fields.values(), *self.fixed]
        if both := sorted(set(taken) & set(self.params)):
            raise ValueError(f"{', '.join(both)}: set by Studio, so no caller may set it")
        return self


class FalSettings(BaseModel):
    """Off without `api_key`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "FAL_KEY"})
    account: str | None = Field(None, min_length=1)
    """The account's user id: webhooks of other accounts, signed by the same vendor, are refused."""
    queue_url: Origin = "https://queue.fal.run"
    rest_url: Origin = "https://rest.fal.ai"
    output_hosts: tuple[Host, ...] = Field(("fal.media",), min_length=1)
    """Where results may lie, subdomains too; an address elsewhere is not fetched."""
    deadline_s: float = Field(30.0, gt=0)
    start_timeout_s: int | None = Field(None, gt=1)
    """How long a request may wait for its start there, in seconds; None: as long as it takes."""
    queue_priority: Literal["normal", "low"] = "normal"
    keep_outputs_s: int | None = Field(86_400, ge=3600)
    """How long the vendor keeps results, which are copied at once; None: as the account says."""
    max_input_bytes: int = Field(50_000_000, gt=0)
    priority: int = 100
    models: dict[Name, FalModel] = Field(default={}, validate_default=True)

    @field_validator("models", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        """Lay the configuration over the models that come with the plugin, key by key."""
        if not isinstance(given, dict):
            return given
        changed = {
            name: {**MODELS.get(name, {}), **changes}
            for name, changes in given.items()
            if isinstance(changes, dict)
        }
        return {**MODELS, **given, **changed}

    @property
    def file_hosts(self) -> tuple[str, ...]:
        """Return where results may lie, as `ProviderSpec` says it; on this machine only for a server on it."""
        named = [part for host in self.output_hosts for part in (host, f"*.{host}")]
        return (*named, *(LOOPBACK if self.queue_url.startswith("http://") else ()))

    def offered(self, capability: str) -> dict[str, FalModel]:
        """Return the models of a capability, in the order of the configuration."""
        return {
            name: model
            for name, model in self.models.items()
            if model.enabled and model.capability == capability
        }
