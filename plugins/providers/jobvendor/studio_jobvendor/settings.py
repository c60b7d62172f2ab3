"""What the sections of these vendors have in common."""

from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    StringConstraints,
    field_validator,
    model_validator,
)

LOOPBACK = ("127.0.0.1", "localhost")
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Origin = Annotated[
    str, StringConstraints(pattern=r"^(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$")
]
"""Scheme and host; plain HTTP only on this machine."""
Kind = Literal["image", "image_edit", "video", "music"]
Source = Literal[
    "prompt", "negative", "seed", "width", "height", "size", "aspect_ratio", "image", "last_image", "video", "mask",
    "reference", "references", "duration_s", "duration_text", "fps", "movement", "mood", "tempo_bpm",
]  # fmt: skip
"""What of a request can be mapped to an input of a model; `inputs.py` says what each one is."""
Operation = Literal["inpaint", "outpaint", "remove_background", "upscale", "variation"]


class HostedModel(BaseModel):
    """One model of a vendor that hosts many: what it takes, what it costs. The vendor's plugin says where it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    capability: Kind
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
    price_kind: str = "unknown"
    """Narrowed by the vendor's plugin: besides the kernel's kinds, what the vendor bills by."""
    unit_price_uusd: NonNegativeInt | None = None
    enabled: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.price_kind == "unknown") != (self.unit_price_uusd is None):
            raise ValueError("price_kind and unit_price_uusd belong together")
        if self.capability == "image_edit" and not self.operations:
            raise ValueError("an editing model names its operations")
        taken = [*self.fields.values(), *self.fixed]
        if both := sorted(set(taken) & set(self.params)):
            raise ValueError(f"{', '.join(both)}: set by Studio, so no caller may set it")
        return self


M = TypeVar("M", bound=HostedModel)


class JobVendorSettings(BaseModel):
    """Where results may lie, how long a call may take, how large an input may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output_hosts: tuple[Host, ...] = Field(min_length=1)
    """Where results may lie, subdomains too; an address elsewhere is not fetched."""
    deadline_s: float = Field(30.0, gt=0)
    max_input_bytes: int = Field(50_000_000, gt=0)
    priority: int = 100

    @property
    def address(self) -> str:
        """The vendor's own address."""
        raise NotImplementedError

    @property
    def private_hosts(self) -> tuple[str, ...]:
        """The hosts that may have a private address: this machine's, when the vendor's address is here."""
        return LOOPBACK if self.address.startswith("http://") else ()

    @property
    def file_hosts(self) -> tuple[str, ...]:
        """Return where results may lie, as `ProviderSpec` says it; on this machine only for a server on it."""
        named = [part for host in self.output_hosts for part in (host, f"*.{host}")]
        return (*named, *self.private_hosts)


class HostedSettings(JobVendorSettings, Generic[M]):
    """A vendor that hosts many models: those that come with its plugin, and the configuration laid over them."""

    known: ClassVar[dict[str, dict[str, Any]]] = {}
    """The models that come with the plugin."""

    models: dict[str, M] = Field(default={}, validate_default=True)

    @field_validator("models", mode="before")
    @classmethod
    def _over_known(cls, given: Any) -> Any:
        """Lay the configuration over the models that come with the plugin, key by key."""
        if not isinstance(given, dict):
            return given
        changed = {
            name: {**cls.known.get(name, {}), **changes}
            for name, changes in given.items()
            if isinstance(changes, dict)
        }
        return {**cls.known, **given, **changed}

    def offered(self, capability: str) -> dict[str, M]:
        """Return the models of a capability, in the order of the configuration."""
        return {
            name: model
            for name, model in self.models.items()
            if model.enabled and model.capability == capability
        }
