"""What a provider, or somebody who speaks for it, may send instead of a good ID token or description."""

from __future__ import annotations

import base64
import hmac
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

pytestmark = pytest.mark.http
REGISTRY = JWSRegistry(algorithms=["RS256", "HS256", "ES256"])
REFUSED, BAD = {"oidcError": "oidc_refused"}, {"oidcError": "oidc_bad_provider"}
CLIENT_ID = "studio client"


def encoded(value) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
async def test_honest_token_of_each_algorithm_signs_in(world, browser, subject, algorithm):
    *_, ec = world.house.keys
    elliptic = algorithm == "ES256"
    world.house.header = {"alg": algorithm, "kid": "ec-1" if elliptic else "rsa-1"}
    world.house.key = ec if elliptic else world.house.key
    assert (await browser.sign_in(**subject))["email"] == subject["email"]


def _changed(house, claims):
    head, _, seal = jwt.encode(house.header, claims, house.key, registry=REGISTRY).split(".")
    return f"{head}.{encoded(claims | {'sub': 'admin'})}.{seal}"


FORGERIES = {
    "alg none": lambda house, c: f"{encoded({'alg': 'none'})}.{encoded(c)}.",
    "alg None": lambda house, c: f"{encoded({'alg': 'None', 'kid': 'rsa-1'})}.{encoded(c)}.",
    "unsigned RS256": lambda house, c: f"{encoded({'alg': 'RS256', 'kid': 'rsa-1'})}.{encoded(c)}.",
    "HS256 with the RSA public key": lambda house, c: _hmac({"alg": "HS256", "kid": "rsa-1"}, c, house.key),
    "HS256 with the client's secret": lambda house, c: jwt.encode(
        {"alg": "HS256"}, c, OctKey.import_key(b"s3cret:with/odd characters"), registry=REGISTRY
    ),
    "another key under a known name": lambda house, c: jwt.encode(
        {"alg": "RS256", "kid": "rsa-1"}, c, RSAKey.generate_key(2048), registry=REGISTRY
    ),
    "a key nobody knows": lambda house, c: jwt.encode(
        {"alg": "RS256", "kid": "rsa-9"}, c, RSAKey.generate_key(2048), registry=REGISTRY
    ),
    "ES256 under the name of the RSA key": lambda house, c: jwt.encode(
        {"alg": "ES256", "kid": "rsa-1"}, c, ECKey.generate_key("P-256"), registry=REGISTRY
    ),
    "changed claims": _changed,
    "no token": lambda house, c: "no token",
    "empty parts": lambda house, c: "..",
    "claims that are a list": lambda house, c: f"{encoded({'alg': 'none'})}.{encoded([c])}.",
}


def _hmac(header, claims, key):
    """Sign with the text of a public key as the shared secret, which joserfc itself refuses to do."""
    body = f"{encoded(header)}.{encoded(claims)}"
    return f"{body}.{encoded(hmac.digest(key.as_pem(private=False), body.encode(), 'sha256'))}"


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_forged_token_is_refused(world, browser, subject, forgery):
    world.house.token = lambda claims: FORGERIES[forgery](world.house, claims)
    assert await browser.round_trip(**subject) == REFUSED


async def test_key_that_the_token_brings_along_is_not_used(world, browser, subject):
    mine = RSAKey.generate_key(2048, {"kid": "mine"})
    for head in (
        {"jwk": mine.as_dict(private=False)},
        {"kid": "../../dev/null"},
        {"jku": f"{world.house.issuer}/keys"},
        {"x5u": "https://evil.example/cert", "kid": "rsa-1"},
    ):
        world.house.token = lambda claims, head=head: _hand_made(mine, {"alg": "RS256", **head}, claims)
        assert await browser.round_trip(**subject) == REFUSED, head


def _hand_made(key, header, claims):
    """Sign with a header that joserfc itself would refuse to write."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    body = f"{encoded(header)}.{encoded(claims)}"
    return f"{body}.{encoded(key.private_key.sign(body.encode(), PKCS1v15(), SHA256()))}"


async def test_unknown_critical_header_is_refused(world, browser, subject):
    header = {"alg": "RS256", "kid": "rsa-1", "crit": ["pwn"], "pwn": True}
    world.house.token = lambda claims: _hand_made(world.house.key, header, claims)
    assert await browser.round_trip(**subject) == REFUSED


NOW = int(time.time())


def told_from_now(claims):
    """Return an id that does not change with the clock: the workers of a test run must agree on it."""
    moved = {k: f"now{v - NOW:+}" for k, v in claims.items() if isinstance(v, int) and abs(v - NOW) < 9_999}
    return str(claims | moved)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another client"},
        {"aud": None},
        {"aud": []},
        {"aud": [CLIENT_ID, "another"]},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"azp": "another"},
        {"nonce": "another nonce"},
        {"nonce": None},
        {"exp": NOW - 31},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": None},
        {"iat": NOW + 3600},
        {"nbf": NOW + 3600},
        {"sub": None},
        {"sub": 5},
        {"sub": {"$ne": None}},
        {"sub": ""},
    ],
    ids=told_from_now,
)
async def test_claim_that_is_not_for_us_or_not_now_is_refused(world, browser, subject, claims):
    world.house.claims = claims
    assert await browser.round_trip(**subject) == REFUSED


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [CLIENT_ID]},
        {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID},
        {"azp": CLIENT_ID},
        {"exp": NOW - 1, "iat": NOW - 300},
        {"email_verified": "true"},
        {"more": {"deep": [1] * 100}},
    ],
    ids=told_from_now,
)
async def test_claim_that_is_merely_unusual_is_good(world, browser, subject, claims):
    world.house.claims = claims | ({"exp": int(time.time()) - 10} if "exp" in claims else {})
    assert "oidcCode" in await browser.round_trip(**subject)


async def test_new_key_is_fetched_when_the_known_ones_are_older_than_a_minute(
    world, browser, subject, monkeypatch
):
    await browser.round_trip(**subject)
    fresh = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig"})
    world.house.keys, world.house.key = [fresh], fresh
    world.house.header = {"alg": "RS256", "kid": "rsa-2"}
    assert await browser.round_trip(**subject) == REFUSED, "not asked again within a minute"
    client = world.service._clients["house"]
    asked, keys = client._keys
    client._keys = (asked - 61, keys)
    assert "oidcCode" in await browser.round_trip(**subject)
    assert world.house.asked.count("keys") == 2


async def test_shared_secret_or_encryption_key_in_the_list_is_no_key(world, browser, subject):
    secret = OctKey.import_key(b"k" * 32, {"kid": "rsa-1"}).as_dict(private=True)
    world.house.keys = [secret, world.house.key.as_dict(private=False) | {"use": "enc"}]
    assert await browser.round_trip(**subject) == BAD


@pytest.mark.parametrize(
    "keys", [[], ["no key"], [{"kty": "RSA", "n": "!", "e": "AQAB", "kid": "rsa-1"}], [5, None]]
)
async def test_list_of_keys_that_is_none_is_a_fault_of_the_provider(world, browser, subject, keys):
    world.house.keys = [key if isinstance(key, dict) else {"kty": key} for key in keys]
    assert "oidcError" in await browser.round_trip(**subject)


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"authorization_endpoint": 5},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "gopher://127.0.0.1/"},
    ],
    ids=str,
)
async def test_description_that_is_not_to_be_trusted_is_refused_before_the_browser_leaves(
    world, browser, told
):
    world.house.discovery = told
    answer = await browser.get("/api/auth/oidc/house/start")
    assert (answer.status, answer.json["code"]) == (502, "oidc_bad_provider")
    assert "Set-Cookie" not in answer.headers


async def test_address_inside_the_network_is_reached_only_where_it_was_allowed(world, browser, subject):
    """The description of a provider that was allowed names another host: the guard of the client refuses it."""
    world.house.discovery = {
        "token_endpoint": world.house.issuer.replace("127.0.0.1", "127.0.0.2") + "/token"
    }
    told = await browser.round_trip(**subject)
    assert "oidcError" in told
    assert "token" not in world.house.asked
