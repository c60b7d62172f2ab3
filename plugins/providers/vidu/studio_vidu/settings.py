"""The section `[vidu]` of the configuration."""

from typing import Annotated, Self

from pydantic import Field, NonNegativeInt, SecretStr, StringConstraints, model_validator

from studio_jobvendor.api import Host, JobVendorSettings, Origin

ModelName = Annotated[str, StringConstraints(pattern=r"^vidu(q3|q2|q1|2\.0)[a-z0-9-]{0,40}$")]


class ViduSettings(JobVendorSettings):
    """Off without `api_key`."""

    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "VIDU_API_KEY"})
    """It signs Vidu's callbacks too."""
    base_url: Origin = "https://api.vidu.com"
    """`https://api.vidu.cn` for accounts in China."""
    output_hosts: tuple[Host, ...] = Field(
        ("vidu.com", "vidu.cn", "vidu.studio", "prod-ss-vidu.s3.cn-northwest-1.amazonaws.com.cn"),
        min_length=1,
    )
    """Where results may lie, subdomains too; the vendor does not publish a list."""
    models: tuple[ModelName, ...] = (
        "viduq3-turbo", "viduq3-pro", "viduq2-turbo", "viduq2-pro", "viduq1", "vidu2.0",
    )  # fmt: skip
    """What is offered; the first is taken where a request names none."""
    credit_uusd: NonNegativeInt | None = None
    """What one credit costs; without it the cost of a video is unknown."""
    credits_per_s: dict[ModelName, NonNegativeInt] = Field(default={})
    """Credits for one second, by model, for estimates only: what was charged is told with the result."""
    deadline_s: float = Field(60.0, gt=0)
    max_input_bytes: int = Field(10_000_000, gt=0, le=14_000_000)
    """A picture travels inside the request, which may have 20 MB."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.models:
            raise ValueError("models: name at least one")
        if unknown := sorted(set(self.credits_per_s) - set(self.models)):
            raise ValueError(f"credits_per_s names what models does not: {', '.join(unknown)}")
        return self

    @property
    def address(self) -> str:
        """The API's address."""
        return self.base_url
