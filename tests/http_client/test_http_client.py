from __future__ import annotations

import asyncio
import gzip
import socket

import httpcore
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import studio.http_call as room
from studio import OutcomeUnknownError, ProviderError, ProviderRejectedError, ProviderUnavailableError
from studio import address_guard as guard
from studio.address_guard import is_public
from studio.errors import StorageFullError
from studio.http_client import HttpClients
from studio.telemetry import Metrics

pytestmark = pytest.mark.http


class Vendor:
    """A service that answers as it is told and remembers what it was asked."""

    def __init__(self):
        self.answers: list = []
        self.seen: list[web.Request] = []
        self.hang = asyncio.Event()

    async def handle(self, request):
        self.seen.append(request)
        answer = self.answers.pop(0) if self.answers else web.json_response({"ok": True})
        if callable(answer):
            answer = await answer(request)
        return answer


@pytest.fixture
async def vendor():
    told = Vendor()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", told.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        told.url = str(server.make_url("/"))
        yield told
        told.hang.set()


@pytest.fixture
async def clients(monkeypatch):
    monkeypatch.setattr(room, "BACKOFF_S", 0.001)
    made = HttpClients(Metrics())
    yield made
    await made.close()


@pytest.fixture
def client(clients, vendor):
    return clients.client("vendor", vendor.url, 5, headers={"X-Api-Key": "k1"}, allow_private=["127.0.0.1"])


def status(code, **headers):
    async def answer(_):
        return web.Response(status=code, headers=headers)

    return answer


PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "fe80::1",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_address_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "①②⑦.0.0.1",
        "0",
    ],
)
async def test_loopback_is_refused_in_every_form(clients, vendor, host):
    port = vendor.url.rsplit(":", 1)[1]
    with pytest.raises(ProviderError):
        await clients.client("outside", deadline_s=1).request("GET", f"http://{host}:{port}")
    assert vendor.seen == []


async def test_name_that_resolves_to_a_private_address_is_refused(clients, vendor, monkeypatch):
    async def rebinding(*_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding, raising=False)
    with pytest.raises(ProviderRejectedError) as caught:
        await clients.client("outside").request("GET", "http://public.example/")
    assert caught.value.code == "address_refused"


async def test_connection_goes_to_the_address_that_was_checked(monkeypatch):
    backend, asked = guard.GuardedBackend(frozenset()), []

    async def once(*_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))]

    class Inner:
        async def connect_tcp(self, host, *_):
            asked.append(host)
            return httpcore.AsyncMockStream([])

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", once, raising=False)
    backend._inner = Inner()
    await backend.connect_tcp("public.example", 80)
    assert asked == ["93.184.216.34"]


def test_guard_is_inside_the_transport_that_httpx_uses():
    transport = guard.GuardedTransport(frozenset())
    assert isinstance(transport._pool._network_backend, guard.GuardedBackend)


async def test_certificates_are_read_at_the_first_request_and_then_once(client, clients, vendor):
    guard._tls.cache_clear()
    other = clients.client("other", vendor.url, allow_private=["127.0.0.1"])
    assert guard._tls.cache_info().misses == 0
    assert [(await each.request("GET", "/a")).status for each in (client, other)] == [200, 200]
    assert guard._tls.cache_info().misses == 1


async def test_environment_proxy_is_not_used(clients, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert (await client.request("GET", "/a")).status == 200


async def test_answer_has_status_headers_and_json(client):
    answer = await client.request("POST", "/a", json={"x": 1})
    assert (answer.status, answer.json()) == (200, {"ok": True})


async def test_refusal_of_the_vendor_is_returned_to_its_caller(client, vendor):
    vendor.answers = [web.json_response({"error": "bad"}, status=422)]
    answer = await client.request("POST", "/a")
    assert (answer.status, answer.json()) == (422, {"error": "bad"})
    assert len(vendor.seen) == 1


@pytest.mark.parametrize("code", [500, 502, 503])
async def test_safe_call_is_tried_four_times(client, vendor, code):
    vendor.answers = [status(code)] * 4
    with pytest.raises(ProviderError) as caught:
        await client.request("GET", "/a")
    assert caught.value.code == "provider_failed"
    assert len(vendor.seen) == 4


async def test_safe_call_succeeds_after_a_failure(client, vendor):
    vendor.answers = [status(500), status(503)]
    assert (await client.request("GET", "/a")).status == 200


@pytest.mark.parametrize("code", [500, 503, 429])
async def test_create_call_is_never_repeated(client, vendor, code):
    vendor.answers = [status(code)] * 4
    with pytest.raises(ProviderError) as caught:
        await client.request("POST", "/a")
    assert len(vendor.seen) == 1
    assert isinstance(caught.value, OutcomeUnknownError) is (code != 429)


async def test_rate_limit_waits_as_long_as_told(client, vendor, monkeypatch):
    waits = []
    monkeypatch.setattr(room, "RETRY_AFTER_CAP_S", 0.01)
    real = asyncio.sleep

    async def sleep(seconds):
        waits.append(seconds)
        await real(0)

    vendor.answers = [status(429, **{"Retry-After": "3600"})]
    monkeypatch.setattr(room.asyncio, "sleep", sleep)
    assert (await client.request("GET", "/a")).status == 200
    assert 0.01 in waits


async def test_rate_limit_beyond_the_deadline_is_told_at_once(client, vendor):
    vendor.answers = [status(429, **{"Retry-After": "30"})]
    with pytest.raises(ProviderError) as caught:
        await client.request("GET", "/a", deadline_s=1)
    assert (caught.value.code, caught.value.retry_after) == ("provider_rate_limited", 30)
    assert len(vendor.seen) == 1


async def test_refused_connection_is_known_not_sent(clients):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        client = clients.client("gone", url, allow_private=["127.0.0.1"])
        with pytest.raises(ProviderError) as caught:
            await client.request("POST", "/a")
    assert caught.value.retryable
    assert caught.value.code == "provider_unreachable"


async def test_create_without_an_answer_is_an_unknown_outcome(client, vendor):
    async def silent(_):
        await vendor.hang.wait()
        return web.Response()

    vendor.answers = [silent]
    with pytest.raises(OutcomeUnknownError):
        await client.request("POST", "/a", deadline_s=0.2)


async def test_create_cut_off_after_sending_is_an_unknown_outcome(client, vendor):
    async def cut(request):
        request.transport.abort()
        return web.Response()

    vendor.answers = [cut]
    with pytest.raises(OutcomeUnknownError):
        await client.request("POST", "/a")
    assert len(vendor.seen) == 1


async def test_endless_answer_ends_at_the_total_deadline(client, vendor):
    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while not vendor.hang.is_set():
            await response.write(b"xx")
            await asyncio.sleep(0.01)
        return response

    vendor.answers = [drip]
    async with asyncio.timeout(10):
        with pytest.raises(ProviderError) as caught:
            await client.request("GET", "/a", deadline_s=0.3)
    assert caught.value.code == "provider_timeout"


async def test_compressed_bomb_is_cut_at_the_cap(client, vendor):
    async def bomb(_):
        return web.Response(body=gzip.compress(b"\0" * 64_000_000), headers={"Content-Encoding": "gzip"})

    vendor.answers = [bomb]
    with pytest.raises(ProviderRejectedError) as caught:
        await client.request("GET", "/a", max_bytes=1_000_000)
    assert caught.value.code == "answer_too_large"


async def test_compressed_answer_is_decoded(client, vendor):
    async def zipped(_):
        return web.Response(body=gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})

    vendor.answers = [zipped]
    assert (await client.request("GET", "/a")).json() == {"a": 1}


async def test_unasked_encoding_is_refused(client, vendor):
    vendor.answers = [status(200, **{"Content-Encoding": "br"})]
    with pytest.raises(ProviderRejectedError):
        await client.request("GET", "/a")


async def test_gzip_that_goes_on_after_its_end_is_refused(client, vendor):
    async def endless(request):
        answer = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await answer.prepare(request)
        await answer.write(gzip.compress(b"{}") + b"x" * 1000)
        await vendor.hang.wait()
        return answer

    vendor.answers = [endless]
    with pytest.raises(ProviderRejectedError, match="after its end"):
        await client.request("GET", "/a")
    vendor.hang.set()


async def test_packed_bytes_that_unpack_to_nothing_are_counted_too(client, vendor):
    name = b"\x1f\x8b\x08\x08" + b"\0" * 6 + b"n" * 200_000  # a file name without an end
    vendor.answers = [web.Response(body=name, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(ProviderRejectedError, match="larger than 1000"):
        await client.request("GET", "/a", max_bytes=1000)


async def test_no_cookie_is_kept(client, vendor):
    vendor.answers = [web.json_response({}, headers={"Set-Cookie": "a=1; Path=/"})]
    await client.request("GET", "/a")
    await client.request("GET", "/a")
    assert "Cookie" not in vendor.seen[1].headers


@pytest.mark.parametrize(
    ("given", "taken"), [("7", 7.0), ("9" * 400, 86_400.0), ("soon", None), ("-1", None)]
)
def test_retry_after_is_seconds_of_a_day_at_most(given, taken):
    assert room._seconds(given) == taken


async def test_broken_gzip_is_a_provider_error(client, vendor):
    async def broken(_):
        return web.Response(body=b"no gzip at all", headers={"Content-Encoding": "gzip"})

    vendor.answers = [broken] * 4
    with pytest.raises(ProviderError):
        await client.request("GET", "/a")


async def test_answer_that_is_no_json_is_a_provider_error(client, vendor):
    vendor.answers = [web.Response(text="<html>")]
    answer = await client.request("GET", "/a")
    with pytest.raises(ProviderError) as caught:
        answer.json()
    assert caught.value.code == "provider_bad_answer"


async def test_a_request_follows_no_redirect(client, vendor):
    vendor.answers = [status(302, Location="/b")]
    assert (await client.request("GET", "/a")).status == 302


async def test_a_download_follows_redirects(client, vendor, tmp_path):
    vendor.answers = [status(302, Location="/b?x=1")]
    await client.download("/a", tmp_path / "a")
    assert [str(r.rel_url) for r in vendor.seen] == ["/a", "/b?x=1"]
    assert vendor.seen[1].headers["X-Api-Key"] == "k1"


async def test_redirect_to_loopback_is_refused(client, vendor, tmp_path):
    vendor.answers = [status(302, Location=vendor.url.replace("127.0.0.1", "127.0.0.2"))]
    with pytest.raises(ProviderRejectedError) as caught:
        await client.download("/a", tmp_path / "a", hosts=["127.0.0.1", "127.0.0.2"])
    assert caught.value.code == "address_refused"


async def test_endless_redirects_end(client, vendor, tmp_path):
    vendor.answers = [status(302, Location="/a")] * 9
    with pytest.raises(ProviderRejectedError) as caught:
        await client.download("/a", tmp_path / "a")
    assert caught.value.code == "too_many_redirects"


async def test_keys_do_not_follow_a_redirect_to_another_host(clients, vendor, tmp_path):
    client = clients.client(
        "vendor", vendor.url, headers={"X-Api-Key": "k1"}, allow_private=["127.0.0.1", "localhost"]
    )
    vendor.answers = [status(302, Location=vendor.url.replace("127.0.0.1", "localhost"))]
    await client.download("/a", tmp_path / "a", hosts=["127.0.0.1", "localhost"])
    first, second = vendor.seen
    assert "X-Api-Key" in first.headers
    assert "X-Api-Key" not in second.headers
    assert second.headers["Host"].startswith("localhost")


async def test_keys_do_not_go_to_an_absolute_address_elsewhere(clients, vendor):
    client = clients.client(
        "vendor", "https://api.vendor.example", headers={"X-Api-Key": "k1"}, allow_private=["127.0.0.1"]
    )
    await client.request("GET", vendor.url, headers={"Authorization": "Bearer t"})
    assert not {"X-Api-Key", "Authorization"} & set(vendor.seen[0].headers)


@pytest.mark.parametrize("url", ["ftp://example.com/", "http://[::1", "file:///etc/passwd"])
async def test_address_of_another_kind_is_refused(clients, url):
    with pytest.raises(ProviderRejectedError):
        await clients.client("outside").request("GET", url)


async def test_circuit_opens_after_five_failures_and_spares_the_vendor(client, vendor):
    vendor.answers = [status(500)] * 5
    for _ in range(5):
        with pytest.raises(OutcomeUnknownError):
            await client.request("POST", "/a")
    with pytest.raises(ProviderUnavailableError):
        await client.request("POST", "/a")
    assert len(vendor.seen) == 5


async def test_circuit_of_one_service_is_not_another_s(clients, client, vendor):
    other = clients.client("other", vendor.url, allow_private=["127.0.0.1"])
    vendor.answers = [status(500)] * 5
    for _ in range(5):
        with pytest.raises(OutcomeUnknownError):
            await client.request("POST", "/a")
    assert (await other.request("POST", "/a")).status == 200


async def test_errors_and_logs_show_no_query_and_no_key(client, vendor, capsys):
    vendor.answers = [status(500)]
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.request("POST", "/a?key=canary-1234", headers={"Authorization": "Bearer canary-5678"})
    assert "canary" not in str(caught.value) + capsys.readouterr().err


async def test_calls_are_counted(clients, client):
    await client.request("GET", "/a")
    assert 'client="vendor",outcome="ok"' in clients._metrics.render().decode()


async def test_download_writes_the_file_and_tells_its_kind(client, vendor, tmp_path):
    vendor.answers = [web.Response(body=b"png", content_type="image/png")]
    assert await client.download("/a.png", tmp_path / "a.png") == "image/png"
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.png", b"png")]


async def test_download_that_is_too_large_leaves_nothing(client, vendor, tmp_path):
    vendor.answers = [web.Response(body=b"x" * 5_000)]
    with pytest.raises(ProviderRejectedError):
        await client.download("/a", tmp_path / "a", max_bytes=1_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        (None, "foreign_file"),
        ((), "foreign_file"),
        (["127.0.0.1"], "foreign_file"),
        (["127.0.0.1", "*.localhost", "host", "*.0.0.1"], "foreign_file"),
        (["127.0.0.1", "localhost"], None),
    ],
)
async def test_redirect_of_a_download_leads_to_named_hosts_only(clients, vendor, tmp_path, hosts, code):
    """Both hosts may be reached, so that only the list can refuse the second one."""
    client = clients.client("vendor", None, 5, allow_private=["127.0.0.1", "localhost"])
    there = vendor.url.replace("127.0.0.1", "localhost")
    vendor.answers = [status(302, Location="/b"), status(307, Location=f"{there}secret")]
    if code is None:
        await client.download(f"{vendor.url}a", tmp_path / "a", hosts=hosts)
        assert [r.path for r in vendor.seen] == ["/a", "/b", "/secret"]
        return
    with pytest.raises(ProviderRejectedError) as caught:
        await client.download(f"{vendor.url}a", tmp_path / "a", hosts=hosts)
    assert caught.value.code == code
    assert [r.path for r in vendor.seen] == (["/a", "/b"] if hosts != () else [])
    assert list(tmp_path.iterdir()) == []


async def test_download_to_a_place_that_cannot_be_written_says_so(client, tmp_path):
    with pytest.raises(StorageFullError):
        await client.download("/a", tmp_path / "missing" / "a")


def test_httpx_keeps_the_seams_that_the_guard_uses():
    assert httpx.__version__.startswith("0.28.")


@pytest.mark.parametrize("code", [429, 503])
async def test_a_status_that_the_caller_wants_to_read_is_returned_and_asked_for_once(client, vendor, code):
    vendor.answers = [status(code)]
    answer = await client.request("POST", "/", kind="safe", returned=(429, 503))
    assert answer.status == code
    assert len(vendor.seen) == 1
