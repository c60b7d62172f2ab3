"""The short way out and the shared deadline: what a client and aiohttp see must be as without them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiohttp import ClientError, web

from studio import PUBLIC, Model, Route
from studio.settings import WebSettings
from studio.web import sending
from studio.web.deadline import Deadline

pytestmark = pytest.mark.http


class Tale(Model):
    id: str
    body: str = ""


async def tale(request) -> Tale:
    return Tale(id="t1", body="ü" * 100_000)


async def with_cookie(request):
    answer = web.Response(body=b"{}", content_type="application/json")
    answer.set_cookie("a", "b")
    return answer


async def with_own_header(request):
    return web.Response(body=b"{}", headers={"Content-Type": "application/json", "ETag": '"1"'})


async def with_line_break(request):
    return web.Response(body=b"{}", headers={"Content-Type": "application/json\r\nX-Evil: 1"})


VARYING = {"x-request-id", "date"}
ROUTES = [
    Route("GET", "/api/tale", tale, PUBLIC),
    Route("GET", "/api/cookie", with_cookie, PUBLIC),
    Route("GET", "/api/header", with_own_header, PUBLIC),
    Route("GET", "/api/break", with_line_break, PUBLIC),
]


@pytest.fixture
def sent(monkeypatch):
    """Count what leaves by the short way: aiohttp's private marks of an answer that is out must still work."""
    found = []
    mark = sending.rfc822_formatted_time
    monkeypatch.setattr(sending, "rfc822_formatted_time", lambda: found.append(1) or mark())
    return found


async def test_plain_answer_goes_out_whole_by_the_short_way(serve, sent):
    house = await serve(*ROUTES)
    for count in (1, 2):
        answer = await house.call("GET", "/api/tale")
        assert (answer.status, len(answer.data["body"]), len(sent)) == (200, 100_000, count)
        assert answer.headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("origins", [[], ["https://a.example"]])
async def test_both_ways_send_the_same_headers(serve, sent, origins):
    house = await serve(*ROUTES, web=WebSettings(cors_origins=origins))
    short = await house.call("GET", "/api/tale")
    long = await house.call("HEAD", "/api/tale")
    assert len(sent) == 1
    shown = [
        {name.lower(): value for name, value in answer.headers.items() if name.lower() not in VARYING}
        for answer in (short, long)
    ]
    assert shown[0] == shown[1]
    assert {name.lower() for name in short.headers} >= VARYING


@pytest.mark.parametrize(("path", "name"), [("/api/cookie", "Set-Cookie"), ("/api/header", "ETag")])
async def test_unusual_answer_takes_the_long_way_and_keeps_its_headers(serve, sent, path, name):
    house = await serve(*ROUTES)
    answer = await house.call("GET", path)
    assert name in answer.headers
    assert sent == []


async def test_header_with_a_line_break_never_leaves(serve, sent):
    house = await serve(*ROUTES)
    with pytest.raises(ClientError):  # aiohttp refuses it and closes the connection
        await house.call("GET", "/api/break")
    assert sent == []


async def test_connection_that_asks_to_close_is_closed(serve, sent):
    house = await serve(*ROUTES)
    answer = await house.call("GET", "/api/tale", headers={"Connection": "close"})
    assert answer.headers["Connection"] == "close"
    assert sent == []


async def test_answer_to_an_origin_carries_its_cors_headers(serve):
    house = await serve(*ROUTES, web=WebSettings(cors_origins=["https://a.example"]))
    answer = await house.call("GET", "/api/tale", headers={"Origin": "https://a.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"


async def within(deadline: Deadline, work: object) -> str:
    task = asyncio.current_task()
    deadline.begin(task)
    try:
        await work
    except asyncio.CancelledError:
        return "late" if deadline.passed(task) else "cancelled"
    finally:
        deadline.end(task)
    return "done"


async def test_shared_deadline_ends_only_who_is_late():
    deadline, stuck = Deadline(0.02), asyncio.Event()
    first = asyncio.create_task(within(deadline, stuck.wait()))
    await asyncio.sleep(0)
    assert await asyncio.create_task(within(deadline, asyncio.sleep(0))) == "done"
    assert await first == "late"
    assert await asyncio.create_task(within(deadline, stuck.wait())) == "late"


async def test_cancellation_by_others_is_not_taken_for_a_deadline():
    task = asyncio.create_task(within(Deadline(30), asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cancelled"


async def test_handler_that_swallows_its_end_leaves_no_cancellation_behind():
    deadline = Deadline(0.01)

    async def stubborn() -> SimpleNamespace:
        task = asyncio.current_task()
        deadline.begin(task)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        finally:
            deadline.end(task)
        return SimpleNamespace(left=task.cancelling())

    assert (await asyncio.create_task(stubborn())).left == 0
