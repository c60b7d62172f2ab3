"""node-oidc-provider, unmodified, as the house that people sign in with: code flow with PKCE, forms posted by hand."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from aiohttp import ClientSession, ClientTimeout, CookieJar
from joserfc.jwk import ECKey, RSAKey

from studio.model import new_id
from studio.testing.client import serving
from studio.testing.servers import free_port

pytestmark = pytest.mark.peer
PACKAGE, START_S, STEPS = "oidc-provider@8.8.1", 60, 15
START = "/api/auth/oidc/house/start"
ACTION = re.compile(r'<form[^>]*action="([^"]+)"')
KEYS = {"RS256": RSAKey.generate_key, "PS256": RSAKey.generate_key, "ES256": ECKey.generate_key}


@pytest.fixture(scope="session")
def script(node_script):
    return node_script("oidc_provider.mjs", PACKAGE)


@asynccontextmanager
async def provider(script, port, redirect_uri, algorithm):
    made = KEYS[algorithm](
        *(("P-256",) if algorithm == "ES256" else (2048,)), {"use": "sig", "alg": algorithm}
    )
    made.ensure_kid()
    keys = json.dumps({"keys": [made.as_dict(private=True)]})
    command = ("node", str(script), str(port), redirect_uri, keys, algorithm)
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=sys.stderr)
    try:
        async with asyncio.timeout(START_S):
            assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture(params=list(KEYS))
async def house(request, script, tmp_path):
    """A Studio and the provider that it trusts."""
    port = free_port()
    start = "STUDIO_OIDC__PROVIDERS__HOUSE__"
    given = {"ISSUER": f"http://127.0.0.1:{port}", "CLIENT_ID": "studio client", "ALLOW_PRIVATE": "true"}
    given["CLIENT_SECRET"] = "s3cret:with/odd characters"
    async with serving(tmp_path, **{start + key: value for key, value in given.items()}) as client:
        redirect_uri = f"{client._base}/api/auth/oidc/house/callback"
        async with provider(script, port, redirect_uri, request.param):
            yield client


@asynccontextmanager
async def browser():
    async with ClientSession(cookie_jar=CookieJar(unsafe=True), timeout=ClientTimeout(30)) as session:
        yield session


async def walk(session, url, login):
    """Follow redirects and fill in the forms of the provider, until the page that Studio sends the browser to."""
    form = None
    for _ in range(STEPS):
        method = "GET" if form is None else "POST"
        async with session.request(method, url, data=form, allow_redirects=False) as answer:
            text = await answer.text()
            if location := answer.headers.get("Location"):
                url, form = urljoin(url, location), None
                if urlsplit(url).fragment:
                    return dict(parse_qsl(urlsplit(url).fragment))
                continue
        found = ACTION.search(text)
        assert found, f"{answer.status} {text[:500]}"
        url = urljoin(url, found[1])
        is_login = 'name="login"' in text
        form = {"prompt": "login", "login": login, "password": "x"} if is_login else {"prompt": "consent"}
    raise AssertionError(f"no end after {STEPS} steps, at {url}")


async def test_real_provider_signs_in_with_code_and_pkce(house):
    address = f"{new_id().lower()}@example.org"
    async with browser() as session:
        told = await walk(session, house._base + START, address)
    answer = await house.post("/api/auth/oidc/exchange", {"code": told["oidcCode"]})
    assert answer.status == 200, answer
    assert answer.json["user"]["email"] == address
    bearer = {"Authorization": f"Bearer {answer.json['accessToken']}"}
    assert (await house.get("/api/auth/me", headers=bearer)).json["email"] == address
    assert (await house.post("/api/auth/oidc/exchange", {"code": told["oidcCode"]})).status == 401


async def test_second_sign_in_finds_the_linked_account(house):
    address = f"{new_id().lower()}@example.org"
    ids = []
    for _ in range(2):
        async with browser() as session:
            told = await walk(session, house._base + START, address)
        ids.append(
            (await house.post("/api/auth/oidc/exchange", {"code": told["oidcCode"]})).json["user"]["id"]
        )
    assert ids[0] == ids[1]


async def test_address_that_the_provider_has_not_verified_opens_nothing(house):
    async with browser() as session:
        told = await walk(session, house._base + START, f"unverified-{new_id().lower()}@example.org")
    assert told == {"oidcError": "oidc_email_unverified"}


async def test_provider_insists_on_the_challenge_that_we_send(house):
    """Without it this provider lets nobody in, so the flow above has proved PKCE."""
    async with browser() as session:
        async with session.get(house._base + START, allow_redirects=False) as answer:
            url = answer.headers["Location"]
        assert "code_challenge_method=S256" in url
        without = re.sub(r"&code_challenge(_method)?=[^&]+", "", url)
        assert await walk(session, without, "ann@example.org") == {"oidcError": "oidc_refused"}
