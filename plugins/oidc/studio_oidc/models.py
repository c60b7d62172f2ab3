"""Models of sign-in by OpenID Connect."""

from typing import Annotated

from pydantic import ConfigDict, Field

from studio import Model


class OidcProviderPublic(Model):
    """One button: where it leads, and what to write on it."""

    name: str
    title: str
    start_url: str


class OidcProviderList(Model):
    """Every house that is configured; none means that this way of signing in is off."""

    items: list[OidcProviderPublic]


class OidcCallback(Model):
    """What the provider sends back with the browser; some add fields of their own.

    Source: RFC 6749 section 4.1.2, RFC 9207 for `iss`.
    """

    model_config = ConfigDict(extra="ignore")

    state: Annotated[str, Field(max_length=200)] = ""
    code: Annotated[str, Field(max_length=4096)] = ""
    error: Annotated[str, Field(max_length=200)] = ""
    iss: Annotated[str | None, Field(max_length=500)] = None


class OidcExchange(Model):
    """Trade the code of the returned address for tokens. `cookie` also sets an HttpOnly cookie, for the console."""

    code: Annotated[str, Field(min_length=20, max_length=200)]
    cookie: bool = False
