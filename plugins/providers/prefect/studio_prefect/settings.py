"""The section `[prefect]` of the configuration."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Deployment = Annotated[str, StringConstraints(pattern=r"^[^/\x00-\x1f]+/[^/\x00-\x1f]+$", max_length=401)]
"""`flow/deployment`, as Prefect names it."""


class PrefectSettings(BaseModel):
    """Which server runs the pipelines. Without `api_url` Prefect is off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_url: str | None = Field(
        None, pattern=r"^https?://[^\s?#@]+$", json_schema_extra={"env": "PREFECT_API_URL"}
    )
    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "PREFECT_API_KEY"})
    """Of Prefect Cloud; it is used before an `auth_string`."""
    auth_string: SecretStr | None = Field(None, json_schema_extra={"env": "PREFECT_API_AUTH_STRING"})
    """`user:password` of a server that asks for it."""
    deployments: dict[str, Deployment] = {}
    """The deployment of each pipeline whose name is not `flow/deployment` already."""
    ui_url: str | None = Field(None, pattern=r"^https?://[^\s?#@]+$")
    deadline_s: float = Field(20.0, gt=0, le=120)
    poll_s: float = Field(3.0, gt=0, le=60)
    webhook_secret: SecretStr | None = Field(None, min_length=16)
    webhook_header: str = Field(
        "x-studio-secret", pattern=r"^[a-z0-9-]{0,40}(secret|token|auth|key)[a-z0-9-]{0,20}$"
    )
    """Its name tells that it is a secret: the inbox keeps headers of such names without their value."""
