"""One way round: to the provider with state, nonce and PKCE, back with its code, home with a code of ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from studio import Actor, ConflictError, Doc, NotFoundError, PluginContext, UnauthenticatedError, now_ms
from studio_audit.api import audit
from studio_auth.api import SignIns
from studio_oidc.client import OidcClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Repository
    from studio_oidc.client import Identity
    from studio_oidc.models import OidcCallback
    from studio_oidc.settings import OidcSettings

FLOW_S, GRANT_S = 600, 60
BASE = "/api/auth/oidc"


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send the browser, and the secret by which it is known again."""

    url: str
    browser: str


class OidcService:
    """Signs in by what a provider says; `clock` in UTC ms."""

    def __init__(self, ctx: PluginContext, settings: OidcSettings, clock: Callable[[], int] = now_ms) -> None:
        self._ctx = ctx
        self._clock = clock
        self._clients = {
            name: OidcClient(ctx, name, given, clock) for name, given in settings.providers.items()
        }
        self.return_url = settings.return_url

    def list_providers(self) -> list[Doc]:
        """Return what a sign-in page shows."""
        return [
            {"name": name, "title": client.settings.title or name, "start_url": f"{BASE}/{name}/start"}
            for name, client in self._clients.items()
        ]

    async def start(self, provider: str, origin: str, browser: str | None) -> Departure:
        """Begin a sign-in; `browser` is the secret of one that has begun another.

        Raises NotFoundError, ProviderError.
        """
        client = self._client(provider)
        found = await client.discovery()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        browser = browser if browser and len(browser) == len(state) else secrets.token_urlsafe(32)
        fields = {"provider": provider, "nonce": nonce, "verifier": verifier, "browser": _hash(browser)}
        await self._put("oidc_flows", state, fields, FLOW_S)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": client.settings.client_id,
            "redirect_uri": _redirect_uri(origin, provider),
            "scope": " ".join(client.settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joined = "&" if "?" in found.authorization_endpoint else "?"
        return Departure(f"{found.authorization_endpoint}{joined}{urlencode(query)}", browser)

    async def finish(self, provider: str, origin: str, browser: str | None, query: OidcCallback) -> str:
        """Return our one-time code for a browser that came back; raises UnauthenticatedError, ProviderError."""
        client = self._client(provider)
        flow = await self._take("oidc_flows", query.state)
        known = flow is not None and flow["provider"] == provider and browser is not None
        if flow is None or not known or not hmac.compare_digest(_hash(browser or ""), flow["browser"]):
            raise _refused("This sign-in was not begun in this browser, or too long ago.")
        found = await client.discovery()
        wanted = found.issuer if found.authorization_response_iss_parameter_supported else query.iss
        if query.error or not query.code or query.iss != wanted or wanted not in (None, found.issuer):
            raise _refused("The provider did not sign you in.")
        who = await client.identity(
            query.code, flow["verifier"], flow["nonce"], _redirect_uri(origin, provider)
        )
        code = secrets.token_urlsafe(32)
        fields = {"issuer": who.issuer, "subject": who.subject, "email": await self._address_of(who)}
        await self._put("oidc_grants", code, fields, GRANT_S)
        return code

    async def _address_of(self, who: Identity) -> str:
        """Return the address of the account that is linked, else the verified one that will link it."""
        linked = await self._identities.get(_identity_id(who.issuer, who.subject))
        user = await self._sign_ins.user(linked["user_id"]) if linked else None
        if linked and user is None:
            raise _refused("This account is suspended.")
        address = user["email"] if user else who.email
        if address is None:
            raise UnauthenticatedError(
                "The provider has not verified your e-mail address.", code="oidc_email_unverified"
            )
        return str(address)

    async def exchange(self, code: str, device: str, ip: str) -> Doc:
        """Open a session for our one-time code, and link the account; raises UnauthenticatedError."""
        grant = await self._take("oidc_grants", code)
        if grant is None:
            raise _refused("This code is not good, or no longer: sign in again.")
        pair = await self._sign_ins.sign_in(grant["email"], device, ip)
        link = {"issuer": grant["issuer"], "subject": grant["subject"], "user_id": pair["user"]["_id"]}
        with suppress(ConflictError):  # it was linked before
            await self._identities.insert({"_id": _identity_id(grant["issuer"], grant["subject"]), **link})
            user_id = link["user_id"]
            told = {"issuer": grant["issuer"], "subject": grant["subject"]}
            await audit(self._ctx, Actor(user_id), "identity.linked", ("user", user_id), after=told)
        return pair

    def _client(self, provider: str) -> OidcClient:
        if provider not in self._clients:
            raise NotFoundError("No such provider is configured: see GET /api/auth/oidc.")
        return self._clients[provider]

    async def _put(self, collection: str, secret: str, fields: Doc, life_s: int) -> None:
        until = self._clock() + life_s * 1000
        expires = datetime.fromtimestamp(until / 1000, UTC)
        document = {"_id": _hash(secret), "until_ms": until, "expires_at": expires}
        await self._ctx.database[collection].insert(document | fields)

    async def _take(self, collection: str, secret: str) -> Doc | None:
        """Return what was put under a secret, once."""
        kept = self._ctx.database[collection]
        found = await kept.get(_hash(secret))
        if found is None or found["until_ms"] <= self._clock():
            return None
        return found if await kept.delete(found["_id"]) else None

    @property
    def _sign_ins(self) -> SignIns:
        return self._ctx.service(SignIns)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    @property
    def _identities(self) -> Repository:
        return self._ctx.database["oidc_identities"]


def _redirect_uri(origin: str, provider: str) -> str:
    return f"{origin}{BASE}/{provider}/callback"


def _identity_id(issuer: str, subject: str) -> str:
    return _hash(f"{issuer}\0{subject}")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _refused(detail: str) -> UnauthenticatedError:
    return UnauthenticatedError(detail, code="oidc_refused")
