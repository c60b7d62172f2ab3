"""Where a server of this protocol is: in the section of every vendor that speaks it."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ServerSettings(BaseModel):
    """One address; `https://`, or what the operator has on a machine of his own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    allow_private: bool = Field(
        default=False, description="the host of base_url may be private and speak plain HTTP"
    )

    @property
    def private_hosts(self) -> tuple[str, ...]:
        """The one host that may have a private address: the operator's own."""
        return (urlsplit(self.base_url).hostname or "",) if self.allow_private else ()

    @model_validator(mode="after")
    def _at_an_address(self) -> Self:
        parts = urlsplit(self.base_url)
        schemes = ("https", "http") if self.allow_private else ("https",)
        if (
            parts.scheme not in schemes
            or not parts.hostname
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise ValueError("base_url: an https:// address; http:// only together with allow_private")
        return self
