"""Settings of the OIDC plugin, `[oidc]` or `STUDIO_OIDC__…`."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class OidcProvider(BaseModel):
    """One house whose word on e-mail addresses is believed: only add houses that verify them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr | None = None
    title: str = ""
    scopes: list[str] = ["openid", "email", "profile"]
    allow_private: bool = False
    """Its server may have a private address, and speak plain HTTP there."""

    @model_validator(mode="after")
    def _safe_issuer(self) -> Self:
        parts = urlsplit(self.issuer)
        schemes = ("https", "http") if self.allow_private else ("https",)
        if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("issuer: an https:// address; http:// only together with allow_private")
        return self


class OidcSettings(BaseModel):
    """Off without `providers`, by name; the name is part of the redirect address to register there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    providers: dict[Name, OidcProvider] = {}
    return_url: Annotated[str, StringConstraints(pattern=r"^(/([^/\\\s#]|$)|https?://)[^\s#]*$")] = "/"
    """Where the browser goes afterwards, with `#oidcCode=…` or `#oidcError=…`."""
