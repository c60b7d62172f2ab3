"""What endpoints answer besides their status: too much, too slowly, or not to its end. The status has decided."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress

import pytest

from studio import Actor, now_ms
from studio_webhooks import sending
from studio_webhooks.events import Occurrence
from studio_webhooks.models import EndpointCreate

pytestmark = pytest.mark.http
BOMB = gzip.compress(bytes(20_000_000))
SHORT = "Content-Length: 2"


class Endpoint:
    """A server by hand: it sends `head`, then `body` for ever or once, and tells how each connection ended."""

    def __init__(self, head, body, *, for_ever=False, then="close"):
        self.head, self.body, self.for_ever, self.then = head, body, for_ever, then
        self.connections = self.calls = 0
        self.ended = asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await self._answer(reader, writer)
                if self.then == "close":
                    break
        self.ended.set()
        writer.close()

    async def _answer(self, reader, writer):
        asked = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in asked.decode().lower().split("\r\n") if "content-length" in line)
        await reader.readexactly(int(length.partition(":")[2]))
        self.calls += 1
        writer.write(f"HTTP/1.1 {self.head}\r\n\r\n".encode())
        if self.then == "stall":
            await reader.read()
        while self.for_ever:
            writer.write(self.body)
            await writer.drain()
        writer.write(self.body)
        await writer.drain()


@pytest.fixture
async def deliver(build_house, monkeypatch):
    monkeypatch.setattr(sending, "ANSWER_S", 0.1)
    house = build_house(private_hosts=["127.0.0.1"], timeout_s=5)
    house.clock.ms = now_ms()

    async def deliver(endpoint, events=1):
        server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        made = EndpointCreate(project_id="p1", url=url, event_types=["*"])
        await house.endpoints.create_endpoint(Actor("ann"), made)
        for number in range(events):
            house.outbox.note(Occurrence(f"e{number}", "p1", "story.created", 1, {}))
            await house.outbox.store_noted()
        async with asyncio.timeout(4):  # less than a try may take
            await house.sent.work_due()
            if endpoint.then != "again":
                await endpoint.ended.wait()
        server.close()
        return await house.deliveries.find({})

    return deliver


@pytest.mark.parametrize(
    "endpoint",
    [
        ("200 OK\r\nContent-Length: 1000000000000", b"x" * 65_536, True),
        ("201 Created\r\nTransfer-Encoding: chunked", b"10000\r\n" + b"x" * 65_536 + b"\r\n", True),
        (f"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(BOMB)}", BOMB, False),
        ("200 OK\r\nContent-Encoding: br\r\nContent-Length: 3", b"abc", False),
        ("204 No Content", b"", False),
        ("200 OK\r\nContent-Length: 100", b"cut off", False),
        ("200 OK\r\nTransfer-Encoding: chunked", b"no length\r\n", False),
    ],
    ids=["huge", "endless", "bomb", "strange", "empty", "cut off", "broken"],
)
async def test_status_decides_whatever_else_is_answered(deliver, endpoint):
    head, body, for_ever = endpoint
    (done,) = await deliver(Endpoint(head, body, for_ever=for_ever))
    assert (done["state"], done["status"]) == ("delivered", int(head[:3]))
    assert "error" not in done


async def test_body_that_never_comes_is_not_waited_for(deliver):
    (done,) = await deliver(Endpoint("200 OK\r\nContent-Length: 5", b"", then="stall"))
    assert (done["state"], done["status"], done["duration_ms"] < 4_000) == ("delivered", 200, True)


async def test_endless_refusal_is_a_refusal(deliver):
    head = "503 Busy\r\nRetry-After: 7\r\nContent-Length: 1000000000000"
    (waiting,) = await deliver(Endpoint(head, b"x" * 65_536, for_ever=True))
    assert (waiting["state"], waiting["status"], waiting["error"]) == ("queued", 503, "It answered 503.")


async def test_short_answer_leaves_its_connection_open_for_the_next(deliver):
    endpoint = Endpoint(f"200 OK\r\n{SHORT}", b"ok", then="again")
    done = await deliver(endpoint, events=3)
    assert {one["state"] for one in done} == {"delivered"}
    assert (endpoint.calls, endpoint.connections) == (3, 1)
