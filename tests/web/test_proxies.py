"""Who the client is, when it comes through a proxy or says that it does."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from studio import PUBLIC, Model, Route
from studio.settings import ServerSettings, WebSettings

pytestmark = pytest.mark.http
HTTPS = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"}
HSTS = "Strict-Transport-Security"


class Seen(Model):
    remote: str
    scheme: str


async def look(request):
    return Seen(remote=request.raw.remote, scheme=request.raw.scheme)


async def crash(request):
    raise RuntimeError("boom")


ROUTES = [Route("GET", "/api/x", look, PUBLIC), Route("GET", "/api/crash", crash, PUBLIC)]


@pytest.mark.parametrize(
    ("headers", "remote", "scheme"),
    [
        ({}, "127.0.0.1", "http"),
        (HTTPS, "9.9.9.9", "https"),
        ({"X-Forwarded-Proto": "https"}, "127.0.0.1", "https"),
        ({"X-Forwarded-For": "6.6.6.6, 9.9.9.9, 10.1.2.3"}, "9.9.9.9", "http"),
        ({"X-Forwarded-For": "10.1.2.3, 10.1.2.4"}, "10.1.2.3", "http"),
        ({"X-Forwarded-For": "9.9.9.9, <script>"}, "127.0.0.1", "http"),
        ({"X-Forwarded-For": "9.9.9.9, nonsense, 10.1.2.3"}, "10.1.2.3", "http"),
        ({"X-Forwarded-For": ""}, "127.0.0.1", "http"),
        ({"X-Forwarded-For": ",".join(["9.9.9.9"] * 400)}, "9.9.9.9", "http"),
        ({"X-Forwarded-For": "2001:db8::1"}, "2001:db8::1", "http"),
        ({"X-Forwarded-For": "::ffff:10.0.0.1, ::ffff:10.0.0.2"}, "10.0.0.1", "http"),
        ({"X-Forwarded-Proto": "javascript"}, "127.0.0.1", "http"),
        ({"X-Forwarded-Proto": "http, https"}, "127.0.0.1", "https"),
        ({"Forwarded": "for=9.9.9.9;proto=https", "X-Real-IP": "9.9.9.9"}, "127.0.0.1", "http"),
    ],
)
async def test_trusted_proxy_is_believed(serve, headers, remote, scheme):
    house = await serve(*ROUTES, proxies=["127.0.0.0/8", "10.0.0.0/8"])
    answer = await house.call("GET", "/api/x", None, headers=headers)
    assert answer.data == {"remote": remote, "scheme": scheme}


@pytest.mark.parametrize("proxies", [[], ["10.0.0.0/8"], ["::1"]])
async def test_anybody_else_is_not(serve, proxies):
    house = await serve(*ROUTES, proxies=proxies)
    answer = await house.call("GET", "/api/x", None, headers=HTTPS)
    assert answer.data == {"remote": "127.0.0.1", "scheme": "http"}


async def test_hsts_is_told_to_clients_that_came_by_https_and_only_if_configured(serve):
    on = await serve(*ROUTES, proxies=["127.0.0.1"], web=WebSettings(hsts_s=600))
    off = await serve(*ROUTES, proxies=["127.0.0.1"])
    open_ = await serve(*ROUTES, web=WebSettings(hsts_s=600))
    for path in ("/api/x", "/api/crash", "/nowhere"):
        assert (await on.call("GET", path, None, headers=HTTPS)).headers[HSTS] == "max-age=600"
        assert (await on.call("HEAD", path, None, headers=HTTPS)).headers[HSTS] == "max-age=600"
        assert HSTS not in (await on.call("GET", path, None)).headers
        assert HSTS not in (await off.call("GET", path, None, headers=HTTPS)).headers
        assert HSTS not in (await open_.call("GET", path, None, headers=HTTPS)).headers


@pytest.mark.parametrize("given", ["proxy.example", "10.0.0.0/33", "10.0.0.1/8", "*"])
def test_proxy_that_is_no_address_is_refused_when_the_configuration_is_read(given):
    with pytest.raises(ValidationError, match="trusted_proxies"):
        ServerSettings(trusted_proxies=[given])
