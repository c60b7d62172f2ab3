"""The section `[jira]` of the configuration."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Label = Annotated[str, StringConstraints(pattern=r"^[^\s\"\\]+$", max_length=255)]
Origin = Annotated[
    str, StringConstraints(pattern=r"^(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$")
]


class JiraSettings(BaseModel):
    """Which site and project. Off without `project` and one of the two ways in.

    An API token with its `email` goes to the site's own `url`; an OAuth 2.0 `access_token` with its `cloud_id` goes
    to Atlassian's gateway, and so does one that is renewed by a `refresh_token`. Where both ways are set, the token
    with all that it needs is used, OAuth first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = Field(
        None,
        pattern=r"^(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)/?$",
        json_schema_extra={"env": "JIRA_URL"},
    )
    email: str | None = Field(None, min_length=3, json_schema_extra={"env": "JIRA_EMAIL"})
    api_token: SecretStr | None = Field(None, json_schema_extra={"env": "JIRA_API_TOKEN"})
    cloud_id: str | None = Field(
        None, pattern=r"^[0-9a-zA-Z-]{1,60}$", json_schema_extra={"env": "JIRA_CLOUD_ID"}
    )
    access_token: SecretStr | None = Field(None, json_schema_extra={"env": "JIRA_ACCESS_TOKEN"})
    client_id: str | None = Field(None, min_length=1, json_schema_extra={"env": "JIRA_CLIENT_ID"})
    client_secret: SecretStr | None = Field(None, json_schema_extra={"env": "JIRA_CLIENT_SECRET"})
    refresh_token: SecretStr | None = Field(None, json_schema_extra={"env": "JIRA_REFRESH_TOKEN"})
    """Of an app with the scope `offline_access`; it is used once, its successors lie in `token_file`."""
    token_file: Path = Path(".studio/jira/token.json")
    gateway: Origin = "https://api.atlassian.com"
    auth_url: Origin = "https://auth.atlassian.com"
    project: str | None = Field(
        None, pattern=r"^[A-Z][A-Z0-9_]{0,49}$", json_schema_extra={"env": "JIRA_PROJECT_KEY"}
    )
    issue_type: str = Field("Bug", min_length=1)
    priority_id: str | None = Field(None, pattern=r"^\d+$")
    labels: list[Label] = ["studio"]
    attachment_bytes: int = Field(10_000_000, ge=1)

    @property
    def oauth(self) -> bool:
        """Whether the way in is OAuth 2.0."""
        token = self.access_token is not None or self.renewed
        return token and (self.cloud_id is not None or self.api_token is None)

    @property
    def renewed(self) -> bool:
        """Whether the access token is renewed."""
        return self.refresh_token is not None

    @property
    def unset(self) -> list[str]:
        """The keys that are missing for the way in that was chosen."""
        token = ("client_id", "client_secret") if self.renewed else ("access_token",)
        way = ("cloud_id", *token) if self.oauth else ("url", "email", "api_token")
        return [name for name in (*way, "project") if not getattr(self, name)]
