"""A Studio with two houses to sign in with: OpenID providers on loopback, with real keys, that can be told to lie."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from studio import new_id
from studio.testing.client import serving
from studio_oidc.service import OidcService

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio.testing.client import Answer, Client

BASE = "/api/auth/oidc"
CLIENT_ID, SECRET = "studio client", "s3cret:with/odd characters"
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1", "use": "sig"})
REGISTRY = JWSRegistry(algorithms=["RS256", "PS256", "ES256", "HS256"])


@dataclass
class Provider:
    """What it knows of those who signed in, and how it is told to misbehave."""

    issuer: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: list[Any] = field(default_factory=lambda: [RSA, EC])
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "rsa-1"})
    key: Any = field(default_factory=lambda: RSA)
    claims: dict[str, Any] = field(default_factory=dict)
    """Over the usual claims; None takes one away."""
    token: Callable[[dict[str, Any]], str] | None = None
    """Makes the ID token instead of the usual way."""
    discovery: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] | None = None
    asked: list[str] = field(default_factory=list)

    def reset(self) -> None:
        fresh = Provider()
        for name in ("keys", "header", "key", "claims", "token", "discovery", "info", "asked"):
            setattr(self, name, getattr(fresh, name))

    def signed(self, claims: dict[str, Any]) -> str:
        if self.token:
            return self.token(claims)
        return jwt.encode(self.header, claims, self.key, registry=REGISTRY)

    def consent(self, location: str, **who: Any) -> str:
        """Let somebody sign in at the address that the browser was sent to; return the query it comes back with."""
        asked = dict(parse_qsl(urlsplit(location).query))
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        subject = {"sub": "ann", "email": "ann@example.org", "email_verified": True}
        self.claims = subject | who | self.claims
        return f"?code={code}&state={asked['state']}"

    # ------------------------------------------------------------ its routes

    async def describe(self, _: web.Request) -> web.Response:
        self.asked.append("discovery")
        told = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
        }
        return web.json_response(told | self.discovery)

    async def jwks(self, _: web.Request) -> web.Response:
        self.asked.append("keys")
        shown = [key if isinstance(key, dict) else key.as_dict(private=False) for key in self.keys]
        return web.json_response({"keys": shown})

    async def give(self, request: web.Request) -> web.Response:
        """RFC 6749 section 4.1.3 and RFC 7636 section 4.6: the code once, to its client, for its verifier."""
        self.asked.append("token")
        form = await request.post()
        asked = self.codes.pop(str(form.get("code")), None)
        digest = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        proved = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        good = (
            asked is not None
            and asked["code_challenge"] == proved
            and asked["redirect_uri"] == form.get("redirect_uri")
            and request.headers.get("Authorization") == BASIC
        )
        if not good or asked is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": CLIENT_ID, "nonce": asked["nonce"], "iat": now, "exp": now + 300}
        claims = {k: v for k, v in (usual | self.claims).items() if v is not None}
        return web.json_response({"id_token": self.signed(claims), "access_token": "for-userinfo"})

    async def user_info(self, request: web.Request) -> web.Response:
        self.asked.append("userinfo")
        assert request.headers["Authorization"] == "Bearer for-userinfo"
        return web.json_response(self.info)


BASIC = "Basic " + base64.b64encode(b"studio%20client:s3cret%3Awith%2Fodd%20characters").decode()


@asynccontextmanager
async def running_provider():
    provider, app = Provider(), web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.describe)
    app.router.add_get("/keys", provider.jwks)
    app.router.add_post("/token", provider.give)
    app.router.add_get("/userinfo", provider.user_info)
    async with TestServer(app) as server:
        provider.issuer = str(server.make_url("")).rstrip("/")
        yield provider


def configured(name: str, provider: Provider) -> dict[str, str]:
    start = f"STUDIO_OIDC__PROVIDERS__{name.upper()}__"
    given = {
        "ISSUER": provider.issuer,
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": SECRET,
        "ALLOW_PRIVATE": "true",
    }
    return {start + key: value for key, value in given.items()}


@dataclass
class World:
    """The platform, and both providers."""

    nobody: Client
    house: Provider
    other: Provider

    @property
    def service(self) -> OidcService:
        assert self.nobody.studio
        return self.nobody.studio.services.provided[OidcService][1]

    @property
    def database(self) -> Any:
        assert self.nobody.studio
        return self.nobody.studio.services.database


@pytest.fixture(scope="module")
async def whole_world(tmp_path_factory):
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(running_provider())
        other = await stack.enter_async_context(running_provider())
        more = configured("house", house) | configured("other", other)
        more |= {"STUDIO_OIDC__RETURN_URL": "/console", "STUDIO_OIDC__PROVIDERS__HOUSE__TITLE": "The House"}
        nobody = await stack.enter_async_context(serving(tmp_path_factory.mktemp("studio"), **more))
        yield World(nobody, house, other)


@pytest.fixture
def world(whole_world):
    """The world with honest providers that were never asked before."""
    for provider in (whole_world.house, whole_world.other):
        provider.reset()
    for client in whole_world.service._clients.values():
        client._discovery = client._keys = None
        client._http.breaker.__init__()
    return whole_world


class Browser:
    """Goes to a provider and back, with its own cookies only."""

    def __init__(self, world: World) -> None:
        self.world, self.cookie = world, ""

    async def get(self, path: str) -> Answer:
        headers = {"Cookie": self.cookie} if self.cookie else {}
        answer = await self.world.nobody.get(path, headers=headers, allow_redirects=False)
        if set_ := answer.headers.get("Set-Cookie"):
            self.cookie = set_.partition(";")[0]
        return answer

    async def start(self, name: str = "house") -> str:
        """Return where the browser is sent."""
        answer = await self.get(f"{BASE}/{name}/start")
        assert answer.status == 302, answer
        return str(answer.headers["Location"])

    async def back(self, query: str, name: str = "house") -> dict[str, str]:
        """Come back from the provider; return what stands behind the `#` of the page it is sent to."""
        answer = await self.get(f"{BASE}/{name}/callback{query}")
        assert answer.status == 302, answer
        page, _, told = answer.headers["Location"].partition("#")
        assert page == "/console"
        return dict(parse_qsl(told))

    async def round_trip(self, **who: Any) -> dict[str, str]:
        """Sign in at the house and come back."""
        return await self.back(self.world.house.consent(await self.start(), **who))

    async def exchange(self, told: dict[str, str], **more: Any) -> Answer:
        return await self.world.nobody.post(f"{BASE}/exchange", {"code": told["oidcCode"], **more})

    async def sign_in(self, **who: Any) -> Any:
        """Sign in at the house; return the account."""
        answer = await self.exchange(await self.round_trip(**who))
        assert answer.status == 200, answer
        return answer.json["user"]


@pytest.fixture
def browser(world) -> Browser:
    return Browser(world)


@pytest.fixture
def another_browser(world) -> Browser:
    return Browser(world)


@pytest.fixture
def subject() -> dict[str, Any]:
    """Somebody nobody has met."""
    name = new_id().lower()
    return {"sub": f"sub-{name}", "email": f"{name}@example.org", "email_verified": True}


@pytest.fixture
def state_of():
    return lambda location: re.search(r"state=([\w-]+)", location)[1]
