"""The section `[newrelic]` of the configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

LOGS = {
    "us": "https://log-api.newrelic.com",
    "eu": "https://log-api.eu.newrelic.com",
    "gov": "https://gov-log-api.newrelic.com",
}
EVENTS = {
    "us": "https://insights-collector.newrelic.com",
    "eu": "https://insights-collector.eu01.nr-data.net",
    "gov": "https://gov-insights-collector.newrelic.com",
}
"""The only hosts that get the license key. Source: New Relic, Log API and Event API."""


class NewrelicSettings(BaseModel):
    """Whose account gets what. Without `license_key` nothing is forwarded, without `account_id` no events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    license_key: SecretStr | None = Field(None, json_schema_extra={"env": "NEW_RELIC_LICENSE_KEY"})
    account_id: str | None = Field(
        None, pattern=r"^\d{1,20}$", json_schema_extra={"env": "NEW_RELIC_ACCOUNT_ID"}
    )
    app_name: str = Field("studio", min_length=1, json_schema_extra={"env": "NEW_RELIC_APP_NAME"})
    region: Literal["us", "eu", "gov"] = "us"
    collector: str | None = Field(None, pattern=r"^http://(127\.0\.0\.1|localhost)(:\d+)?$")
    """A collector on this machine that is sent everything instead."""
    queue: int = Field(1_000, ge=10)
    flush_s: float = Field(5.0, gt=0, le=60)
    deadline_s: float = Field(10.0, gt=0, le=60)

    @property
    def hosts(self) -> tuple[str, str]:
        """Where logs and where events go."""
        return self.collector or LOGS[self.region], self.collector or EVENTS[self.region]
