"""Speaks to one provider: its discovery document, its keys, its token and user info addresses.

Source: OpenID Connect Core 1.0 and Discovery 1.0; RFC 7636 (PKCE); RFC 6749 section 2.3.1 (client authentication).
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, EmailStr, Field, TypeAdapter, ValidationError

from studio import ProviderError, UnauthenticatedError, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import PluginContext
    from studio_oidc.settings import OidcProvider

ALGORITHMS = ["RS256", "PS256", "ES256"]
LEEWAY_S, KEPT_S, KEYS_AGAIN_S = 30, 3600.0, 60.0
DEADLINE_S, MAX_BYTES = 10.0, 1_000_000
M = TypeVar("M", bound=BaseModel)
_EMAIL: TypeAdapter[str] = TypeAdapter(EmailStr)


class Discovery(BaseModel):
    """What we read of a provider's own description."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False


class TokenAnswer(BaseModel):
    """What we read of the token address's answer."""

    id_token: Annotated[str, Field(max_length=16_384)]
    access_token: Annotated[str, Field(max_length=16_384)] = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a provider says somebody is; `email` only when it says that it has verified it, in lower case."""

    issuer: str
    subject: str
    email: str | None


class OidcClient:
    """One provider; `clock` in UTC ms."""

    def __init__(
        self, ctx: PluginContext, name: str, settings: OidcProvider, clock: Callable[[], int] = now_ms
    ) -> None:
        self.name, self.settings = name, settings
        self._clock = clock
        host = urlsplit(settings.issuer).hostname or ""
        private = (host,) if settings.allow_private else ()
        self._http = ctx.http.client(f"oidc-{name}", None, DEADLINE_S, MAX_BYTES, allow_private=private)
        self._discovery: tuple[float, Discovery] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._registry = JWSRegistry(algorithms=ALGORITHMS)

    async def discovery(self) -> Discovery:
        """Return the provider's description, an hour old at most; raises ProviderError."""
        if self._discovery is None or time.monotonic() - self._discovery[0] > KEPT_S:
            address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = _read(Discovery, await self._get(address))
            if found.issuer != self.settings.issuer:
                raise ProviderError("It describes another issuer.", code="oidc_bad_provider")
            self._check_addresses(found)
            self._discovery = (time.monotonic(), found)
        return self._discovery[1]

    def _check_addresses(self, found: Discovery) -> None:
        addresses = [found.authorization_endpoint, found.token_endpoint, found.jwks_uri]
        addresses += [found.userinfo_endpoint] if found.userinfo_endpoint else []
        wanted = urlsplit(self.settings.issuer).scheme
        if any(urlsplit(address).scheme not in ("https", wanted) for address in addresses):
            raise ProviderError("One of its addresses is not https.", code="oidc_bad_provider")

    async def identity(self, code: str, verifier: str, nonce: str, redirect_uri: str) -> Identity:
        """Trade a provider's code for who it is; raises ProviderError, UnauthenticatedError."""
        found = await self.discovery()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        form |= {"code_verifier": verifier}
        answer = await self._http.request("POST", found.token_endpoint, **self._authenticated(found, form))
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise _refused("The provider did not accept the code.")
        tokens = _read(TokenAnswer, answer.json())
        claims = await self._verified(tokens.id_token, nonce)
        if "email" not in claims and found.userinfo_endpoint and tokens.access_token:
            claims = await self._user_info(found.userinfo_endpoint, tokens.access_token, claims)
        return Identity(found.issuer, claims["sub"], _verified_email(claims))

    def _authenticated(self, found: Discovery, form: dict[str, str]) -> dict[str, Any]:
        client_id, secret = self.settings.client_id, self.settings.client_secret
        if secret is None:
            return {"data": form | {"client_id": client_id}}
        if "client_secret_basic" not in found.token_endpoint_auth_methods_supported:
            return {"data": form | {"client_id": client_id, "client_secret": secret.get_secret_value()}}
        pair = f"{quote(client_id, safe='')}:{quote(secret.get_secret_value(), safe='')}"
        return {
            "data": form,
            "headers": {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"},
        }

    async def _verified(self, token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of a good ID token (OpenID Connect Core 3.1.3.7)."""
        try:
            claims = await self._decoded(token)
            registry = jwt.JWTClaimsRegistry(
                now=lambda: self._clock() // 1000,
                leeway=LEEWAY_S,
                iss={"essential": True, "value": self.settings.issuer},
                aud={"essential": True, "value": self.settings.client_id},
                nonce={"essential": True, "value": nonce},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
            )
            registry.validate(claims)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _refused("The provider's token is not good.") from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        addressed = not (several or "azp" in claims) or claims.get("azp") == self.settings.client_id
        if not addressed or not isinstance(claims["sub"], str):
            raise _refused("The provider's token is for somebody else.")
        return claims

    async def _decoded(self, token: str) -> dict[str, Any]:
        asked, keys = await self._key_set()
        try:
            return jwt.decode(token, keys, algorithms=ALGORITHMS, registry=self._registry).claims
        except (JoseError, ValueError):
            if time.monotonic() - asked < KEYS_AGAIN_S:
                raise
        self._keys = None  # it may have changed its keys
        _, keys = await self._key_set()
        return jwt.decode(token, keys, algorithms=ALGORITHMS, registry=self._registry).claims

    async def _key_set(self) -> tuple[float, KeySet]:
        if self._keys is None or time.monotonic() - self._keys[0] > KEPT_S:
            raw = await self._get((await self.discovery()).jwks_uri)
            listed = raw.get("keys") if isinstance(raw, dict) else None
            usable = [key for key in listed or () if isinstance(key, dict) and _signs(key)]
            if not usable:
                raise ProviderError("It has no key that signs.", code="oidc_bad_provider")
            self._keys = (time.monotonic(), KeySet.import_key_set({"keys": usable}))
        return self._keys

    async def _user_info(self, address: str, token: str, claims: dict[str, Any]) -> dict[str, Any]:
        info = await self._get(address, headers={"Authorization": f"Bearer {token}"})
        if not isinstance(info, dict) or info.get("sub") != claims["sub"]:
            raise _refused("The provider speaks of two people.")
        return info

    async def _get(self, address: str, **options: Any) -> Any:
        answer = await self._http.request("GET", address, **options)
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise ProviderError(f"It answered {answer.status}.", code="oidc_bad_provider")
        return answer.json()


def _signs(key: dict[str, Any]) -> bool:
    """Return whether a listed key is a public one that may sign: a shared secret there would be everybody's."""
    return key.get("kty") in ("RSA", "EC") and key.get("use", "sig") == "sig" and "d" not in key


def _read(model: type[M], raw: Any) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ProviderError(
            "Its answer is not what OpenID Connect says.", code="oidc_bad_provider"
        ) from error


def _verified_email(claims: dict[str, Any]) -> str | None:
    verified = claims.get("email_verified")
    if verified is not True and verified != "true":  # some send it as text
        return None
    try:
        return _EMAIL.validate_python(claims.get("email")).lower()
    except ValidationError:
        return None


def _refused(detail: str) -> UnauthenticatedError:
    return UnauthenticatedError(detail, code="oidc_refused")
