"""Answers that come in pieces: read as they come, within the deadline and the cap, and never tried twice."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from studio import OutcomeUnknownError, ProviderError, ProviderRejectedError, ProviderUnavailableError
from studio.http_client import HttpClients
from studio.telemetry import Metrics

pytestmark = pytest.mark.http


class Vendor:
    """Sends "one", and "two" once `go` is set; `then` says what follows."""

    def __init__(self):
        self.go, self.calls, self.then, self.status, self.closed = (
            asyncio.Event(),
            0,
            "end",
            200,
            asyncio.Event(),
        )

    async def handle(self, request):
        self.calls += 1
        if self.status != 200:
            return web.json_response({"why": "no"}, status=self.status, headers={"Retry-After": "3"})
        packed = self.then == "gzip"
        answer = web.StreamResponse(headers={"Content-Encoding": "gzip"} if packed else {})
        await answer.prepare(request)
        if packed:
            await answer.write(gzip.compress(b"onetwo"))
            return answer
        await answer.write(b"one")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.closed.set()
            raise
        await answer.write(b"two" if self.then != "much" else b"x" * 200)
        if self.then == "cut":
            request.transport.close()
        return answer


@pytest.fixture
async def vendor():
    told = Vendor()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", told.handle)
    async with TestServer(app, host="127.0.0.1", handler_cancellation=True) as server:
        told.url = str(server.make_url("/"))
        yield told
        told.go.set()


@pytest.fixture
async def client(vendor):
    clients = HttpClients(Metrics())
    yield clients.client("vendor", vendor.url, 5, max_bytes=100, allow_private=["127.0.0.1"])
    await clients.close()


async def read(client, **options):
    async with client.stream("POST", "/work", **options) as answer:
        return b"".join([piece async for piece in answer])


async def test_a_piece_is_there_before_the_next_is_made(vendor, client):
    async with client.stream("POST", "/work") as answer:
        assert (answer.status, await anext(answer)) == (200, b"one")
        vendor.go.set()
        assert [piece async for piece in answer] == [b"two"]


async def test_a_packed_answer_is_unpacked(vendor, client):
    vendor.then = "gzip"
    assert await read(client) == b"onetwo"


async def test_the_deadline_is_for_the_whole(vendor, client):
    with pytest.raises(OutcomeUnknownError, match=r"within 0\.2 s"):
        await read(client, deadline_s=0.2)
    assert vendor.calls == 1


async def test_a_stream_that_is_cut_off_may_have_been_work(vendor, client):
    vendor.then = "cut"
    vendor.go.set()
    with pytest.raises(OutcomeUnknownError):
        await read(client)
    assert vendor.calls == 1


async def test_more_than_the_cap_is_not_read(vendor, client):
    vendor.then = "much"
    vendor.go.set()
    with pytest.raises(ProviderRejectedError) as caught:
        await read(client)
    assert caught.value.code == "answer_too_large"


async def test_a_refusal_is_read_whole_where_it_is_asked_for(vendor, client):
    vendor.status = 429
    async with client.stream("POST", "/work", returned=(429,)) as answer:
        assert (await answer.whole()).json() == {"why": "no"}
    with pytest.raises(ProviderError) as caught:
        await read(client)
    assert (caught.value.code, caught.value.retry_after) == ("provider_rate_limited", 3.0)
    assert vendor.calls == 2


async def test_failing_streams_open_the_circuit(vendor, client):
    vendor.status = 500
    for _ in range(5):
        with pytest.raises(OutcomeUnknownError):
            await read(client)
    with pytest.raises(ProviderUnavailableError):
        await read(client)
    assert vendor.calls == 5


async def test_a_reader_that_goes_away_closes_the_connection(vendor, client):
    async with client.stream("POST", "/work") as answer:
        await anext(answer)
    await asyncio.wait_for(vendor.closed.wait(), 5)
