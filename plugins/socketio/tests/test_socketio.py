from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress

import aiohttp
import pytest
import socketio

from studio import UnauthenticatedError, UnavailableError
from studio_socketio import transport as room
from studio_socketio.routes import ROUTES

pytestmark = pytest.mark.http


class Raw:
    """A client that speaks the protocol by hand, and reads only when told."""

    def __init__(self, session, url):
        self.session, self.url = session, url

    async def connect(self, token="ann", **auth):
        self.ws = await self.session.ws_connect(f"{self.url}/socket.io/?EIO=4&transport=websocket")
        await self.packet("0")
        await self.ws.send_str("40" + json.dumps({"token": token, **auth}))
        return json.loads((await self.packet("40")).removeprefix("40"))

    async def packet(self, kind):
        async with asyncio.timeout(5):
            while True:
                message = await self.ws.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(message.type)
                if message.data.startswith(kind):
                    return message.data


@pytest.fixture
async def raw(house):
    async with aiohttp.ClientSession() as session:
        yield lambda: Raw(session, house.url)


def test_routes_serve_the_address_of_an_unmodified_client():
    assert {(route.method, route.path) for route in ROUTES} == {
        ("GET", "/socket.io/"),
        ("POST", "/socket.io/"),
        ("OPTIONS", "/socket.io/"),
    }


@pytest.mark.parametrize(
    "transports", [("websocket",), ("polling",), ("polling", "websocket"), ("websocket", "polling")]
)
async def test_event_arrives_as_one_object_over_every_transport(house, transports):
    client = await house.connect(transports=transports)
    await house.send(status="done", message="Ready", success=True, data={"job": {"id": "j"}}, seq=5)
    event, data, offset = await client.next()
    assert event == "assetGenResponse"
    assert data == {
        "status": "done",
        "message": "Ready",
        "success": True,
        "data": {"job": {"id": "j"}},
        "seq": 5,
    }
    assert isinstance(offset, str)


async def test_event_reaches_every_device_of_the_user_and_nobody_else(house):
    one, two, bob = await house.connect(), await house.connect("ann/s2"), await house.connect("bob")
    await house.send(n=1)
    await house.send("bob", n=2)
    assert (await one.next())[1]["n"] == (await two.next())[1]["n"] == 1
    assert (await bob.next())[1]["n"] == 2


async def test_no_packet_is_logged_with_what_is_in_it(house, caplog):
    caplog.set_level(logging.INFO)
    client = await house.connect("ann/canary-session")
    await house.send(text="canary-script")
    await client.next()
    assert "canary" not in caplog.text


async def test_events_keep_their_order(house):
    client = await house.connect()
    for number in range(80):
        await house.send(n=number)
    assert [(await client.next())[1]["n"] for _ in range(80)] == list(range(80))


@pytest.mark.parametrize("token", ["", "nobody", 5, None])
async def test_bad_token_is_a_connect_error_with_a_code(house, token):
    client = socketio.AsyncClient(reconnection=False)
    refused = asyncio.get_running_loop().create_future()

    async def on_error(data):
        if not refused.done():
            refused.set_result(data)

    client.on("connect_error", on_error)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(house.url, auth={"token": token}, transports=["websocket"])
    assert (await refused)["data"] == {"code": "unauthenticated"}
    await client.shutdown()
    assert not house.transport.clients
    assert not house.transport.arriving


@pytest.mark.parametrize("name", ["token", "access_token", "Authorization"])
async def test_token_in_the_address_is_refused(house, name):
    url = f"{house.url}/socket.io/?EIO=4&transport=polling&{name}=ann"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "token_in_query")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 400),
        ("null", 400),
        ("https://app.example", 200),
        ("https://app.example.evil.example", 400),
        (None, 200),
        ("own", 200),
    ],
)
async def test_only_known_origins_may_connect(house, origin, status):
    headers = {} if origin is None else {"Origin": house.url if origin == "own" else origin}
    url = f"{house.url}/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert answer.status == status
        assert answer.headers.get("Access-Control-Allow-Origin") != "*"


async def test_project_room_is_joined_after_a_permission_check(house):
    ann, bob = await house.connect(), await house.connect("bob")
    assert await ann.call("join", {"projectId": "p1"}, timeout=5) == {"ok": True}
    refused = await bob.call("join", {"projectId": "p1"}, timeout=5)
    assert (refused["ok"], refused["code"]) == (False, "not_found")
    await house.send("project:p1", "job.updated", target="room", n=1)
    await house.send("bob", n=2)
    assert (await ann.next())[0] == "job.updated"
    assert (await bob.next())[1]["n"] == 2


async def test_left_room_is_quiet(house):
    client = await house.connect()
    await client.call("join", {"projectId": "p1"}, timeout=5)
    await client.call("leave", {"projectId": "p1"}, timeout=5)
    await house.send("project:p1", "job.updated", target="room", n=1)
    await house.send(n=2)
    assert (await client.next())[1]["n"] == 2


@pytest.mark.parametrize("data", [None, {}, {"projectId": 5}, {"projectId": "x" * 100}, [], "user:bob"])
async def test_join_of_nonsense_is_refused(house, data):
    client = await house.connect()
    assert (await client.call("join", data, timeout=5))["ok"] is False


async def test_revoked_session_is_disconnected_at_once(house, until):
    gone, stays = await house.connect("ann/s1"), await house.connect("ann/s2")
    async with asyncio.timeout(5):
        await house.transport.disconnect("ann", session_id="s1")
        await gone.ended.wait()
    await until(lambda: len(house.transport.clients) == 1)
    await house.send(n=1)
    assert (await stays.next())[1]["n"] == 1


async def test_client_that_ignores_the_disconnect_is_cut(house, raw):
    client = raw()
    await client.connect()
    await house.transport.disconnect("ann")
    assert await client.packet("41") == "41"
    with pytest.raises(ConnectionError):
        await client.packet("never")


async def test_client_that_leaves_is_forgotten(house, until):
    client = await house.connect()
    await client.disconnect()
    await until(lambda: not house.transport.clients)
    assert not house.transport._rooms


async def test_slow_client_is_cut_and_the_others_are_not(house, raw, until):
    slow, quick = raw(), await house.connect("bob")
    await slow.connect()
    before = house.transport.sio.eio.sockets.copy()
    for number in range(400):
        await house.send(text="x" * 20_000, n=number)
        if not number % 20:
            await asyncio.sleep(0)
    await until(lambda: len(house.transport.clients) == 1)
    assert len(house.transport.sio.eio.sockets) == len(before) - 1
    await house.send("bob", n=2)
    assert (await quick.next())[1]["n"] == 2


async def test_slow_polling_client_is_cut(house, until):
    async with aiohttp.ClientSession() as session:
        url = f"{house.url}/socket.io/?EIO=4&transport=polling"
        async with session.get(url) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        async with session.post(f"{url}&sid={sid}", data='40{"token":"ann"}') as answer:
            assert answer.status == 200
        await until(lambda: house.transport.clients)
        for number in range(room.MAX_QUEUED + 5):
            await house.send(n=number)
        await until(lambda: not house.transport.clients)
        async with session.get(f"{url}&sid={sid}") as answer:
            assert answer.status == 400


async def test_connection_without_a_token_is_cut(house, until, monkeypatch):
    monkeypatch.setattr(room, "CONNECT_S", 0.05)
    async with aiohttp.ClientSession() as session:
        ws = await session.ws_connect(f"{house.url}/socket.io/?EIO=4&transport=websocket")
        assert (await ws.receive()).data.startswith("0")
        async with asyncio.timeout(5):
            while (await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
    await until(lambda: not house.transport.sio.eio.sockets)


@pytest.mark.parametrize(
    "frame",
    [
        '42["connect",{},{"token":"bob"}]',
        '42["disconnect","x"]',
        '42["connect_error"]',
        '42{"a":1}',
        "42[]",
        "42[5]",
        "42",
        "4",
        "99",
        "451-[1]",
        '42["unknown",1]',
        '40{"token":"bob"}',
        "{",
    ],
)
async def test_hostile_frame_changes_nothing_for_others(house, raw, frame, until):
    hostile, bob = raw(), await house.connect("bob")
    await hostile.connect()
    await hostile.ws.send_str(frame)
    with suppress(aiohttp.ClientConnectionError):
        await hostile.ws.send_str('421["join",{"projectId":"p2"}]')
    await house.send(n=1)
    await house.send("bob", n=2)
    assert (await bob.next())[1]["n"] == 2
    assert all(c.actor.user_id == "ann" for c in house.transport._rooms["user:ann"])
    await hostile.ws.close()
    await until(lambda: len(house.transport.clients) == 1)


async def test_frame_beyond_a_megabyte_ends_its_connection(house, raw, until):
    client = raw()
    await client.connect()
    await client.ws.send_str('42["' + "x" * 1_000_001 + '"]')
    await until(lambda: not house.transport.clients)


async def test_stop_closes_every_transport(house):
    one, two = await house.connect(), await house.connect(transports=["polling"])
    async with asyncio.timeout(5):
        await house.transport.close()
        await one.ended.wait()
        await two.ended.wait()


async def test_broadcast_encodes_once(house, raw):
    await raw().connect()
    await house.connect("ann/s2")
    await house.send(n=1)
    ((_, _, packet, _),) = house.transport.replay._log
    assert packet.encode() is packet.encode()


async def test_packets_make_no_tasks(house, raw):
    client, made = raw(), []
    await client.connect()

    def noted(loop, work, **options):
        made.append(work.__qualname__)
        return asyncio.Task(work, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(noted)
    try:
        for number in range(3):
            await house.send(n=number)
            assert f'"n":{number}' in (await client.ws.receive()).data
    finally:
        loop.set_task_factory(None)
    assert "Queue.get" not in made


@pytest.mark.parametrize("lost", ["session", "project"])
async def test_client_let_in_by_an_answer_from_before_a_revocation_is_cut_a_second_later(
    house, until, monkeypatch, lost
):
    """The order to disconnect came while it was let in, and did not find it."""
    monkeypatch.setattr("studio_socketio.transport.AGAIN_S", 0.05)
    client = await house.connect()
    if lost == "project":
        assert (await client.call("join", {"projectId": "p1"}))["ok"]
        house.auth.revoked.add("p1")
    else:
        monkeypatch.setattr(house.auth, "authenticate", _nobody)
    async with asyncio.timeout(5):
        await client.ended.wait()
    await until(lambda: not house.transport.clients)


async def _nobody(credentials):
    raise UnauthenticatedError


async def test_client_stays_while_nobody_can_tell_who_it_is(house, monkeypatch):
    monkeypatch.setattr("studio_socketio.transport.AGAIN_S", 0.02)
    asked = asyncio.Event()

    async def away(credentials):
        asked.set()
        raise UnavailableError

    client = await house.connect()
    monkeypatch.setattr(house.auth, "authenticate", away)
    async with asyncio.timeout(5):
        await asked.wait()
    await house.send(n=1)
    assert (await client.next())[1]["n"] == 1
