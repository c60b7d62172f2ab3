"""The section `[fal]` of the configuration."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from studio_fal.defaults import MODELS
from studio_jobvendor.api import Host, HostedModel, HostedSettings, Name, Origin


class FalModel(HostedModel):
    """One model that Studio offers, and where it is.

    `unit_price_uusd` is what one of the vendor's billable units costs; the units are told with the result.
    """

    endpoint: str = Field(pattern=r"^[a-z0-9][\w-]*(/[a-z0-9][\w.-]*){1,7}$")
    """The whole id, such as `fal-ai/flux/dev`."""
    price_kind: Literal["unknown", "per_call", "per_image", "per_second", "per_unit"] = "unknown"
    """`per_unit`: by whatever the vendor counts for this model (megapixels, seconds of a machine, …)."""


class FalSettings(HostedSettings[FalModel]):
    """Off without `api_key`."""

    known: ClassVar = MODELS

    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "FAL_KEY"})
    account: str | None = Field(None, min_length=1)
    """The account's user id: webhooks of other accounts, signed by the same vendor, are refused."""
    queue_url: Origin = "https://queue.fal.run"
    rest_url: Origin = "https://rest.fal.ai"
    output_hosts: tuple[Host, ...] = Field(("fal.media",), min_length=1)
    start_timeout_s: int | None = Field(None, gt=1)
    """How long a request may wait for its start there, in seconds; None: as long as it takes."""
    queue_priority: Literal["normal", "low"] = "normal"
    keep_outputs_s: int | None = Field(86_400, ge=3600)
    """How long the vendor keeps results, which are copied at once; None: as the account says."""
    models: dict[Name, FalModel] = Field(default={}, validate_default=True)

    @property
    def address(self) -> str:
        """The queue's address."""
        return self.queue_url
