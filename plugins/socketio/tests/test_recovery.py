from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from engineio.packet import MESSAGE, Packet

from studio_socketio import replay as room
from studio_socketio.replay import Replay

pytestmark = pytest.mark.http
ROOMS = frozenset({"user:ann"})


@pytest.fixture
def connect(house, until):
    @asynccontextmanager
    async def connected(token="ann", **auth):
        async with aiohttp.ClientSession() as session, asyncio.timeout(10):
            ws = await session.ws_connect(f"{house.url}/socket.io/?EIO=4&transport=websocket")
            await ws.receive()
            await ws.send_str("40" + json.dumps({"token": token, **auth}))
            answer = json.loads((await ws.receive()).data.removeprefix("40"))
            yield ws, answer["pid"]
            await ws.close()
        await until(lambda: not house.transport.clients)

    return connected


async def event(ws):
    return json.loads((await ws.receive()).data.removeprefix("42"))


async def test_client_that_comes_back_gets_what_it_missed_in_order(house, connect):
    async with connect() as (ws, pid):
        await house.send(n=1)
        _, _, offset = await event(ws)
    for number in (2, 3):
        await house.send(n=number)
    async with connect(pid=pid, offset=offset) as (ws, again):
        await house.send(n=4)
        assert again == pid
        assert [(await event(ws))[1]["n"] for _ in range(3)] == [2, 3, 4]


async def test_client_that_never_got_an_event_recovers_from_its_start(house, connect):
    async with connect() as (_, pid):
        pass
    await house.send(n=1)
    async with connect(pid=pid) as (ws, again):
        assert again == pid
        assert (await event(ws))[1]["n"] == 1


@pytest.mark.parametrize("token", ["bob", "ann/s2"])
async def test_private_id_of_somebody_else_recovers_nothing(house, connect, token):
    async with connect() as (_, pid):
        pass
    await house.send(n=1)
    async with connect(token, pid=pid) as (_, other):
        assert other != pid


@pytest.mark.parametrize("pid", ["guess", 5, None, {"$ne": 1}])
async def test_unknown_private_id_starts_afresh(connect, pid):
    async with connect(pid=pid, offset="1") as (_, fresh):
        assert isinstance(fresh, str)
        assert fresh != pid


@pytest.mark.parametrize("offset", ["99", "-1", "x", 1, "9" * 30, []])
async def test_offset_that_is_none_of_ours_starts_afresh(connect, offset):
    async with connect() as (_, pid):
        pass
    async with connect(pid=pid, offset=offset) as (_, fresh):
        assert fresh != pid


async def test_rooms_come_back_only_with_the_right_to_them(house, connect):
    async with connect() as (ws, pid):
        await ws.send_str('421["join",{"projectId":"p1"}]')
        assert (await ws.receive()).data == '431[{"ok":true}]'
    await house.send("project:p1", "job.updated", target="room", n=1)
    async with connect(pid=pid, offset="0") as (ws, again):
        assert again == pid
        assert (await event(ws))[1]["n"] == 1
    house.auth.revoked.add("p1")
    async with connect(pid=pid, offset="1") as (_, fresh):
        assert fresh != pid


async def test_revoked_session_recovers_nothing(house, connect):
    async with connect() as (_, pid):
        pass
    await house.transport.disconnect("ann", session_id="s1")
    async with connect(pid=pid, offset="0") as (_, fresh):
        assert fresh != pid


def filled(count, clock=lambda: 0.0):
    replay = Replay(clock)
    for _ in range(count):
        replay.add("user:ann", Packet(MESSAGE, "2[]"), 3)
    return replay


async def test_log_is_bounded_by_events(monkeypatch):
    monkeypatch.setattr(room, "LOG_MESSAGES", 5)
    replay = filled(10)
    assert len(replay.missed(ROOMS, "5", 0)) == 5
    assert replay.missed(ROOMS, "4", 0) is None


async def test_log_is_bounded_by_bytes(monkeypatch):
    monkeypatch.setattr(room, "LOG_BYTES", 9)
    replay = filled(10)
    assert len(replay.missed(ROOMS, "7", 0)) == 3
    assert replay.missed(ROOMS, "6", 0) is None


async def test_session_ends_after_two_minutes():
    now = [0.0]
    replay = filled(1, lambda: now[0])
    replay.keep("p", "ann", "s1", ROOMS, 0)
    now[0] = 121.0
    assert replay.take("p", "ann", "s1") is None


async def test_session_is_given_once():
    replay = filled(1)
    replay.keep("p", "ann", "s1", ROOMS, 0)
    assert replay.take("p", "ann", "s1") is not None
    assert replay.take("p", "ann", "s1") is None


async def test_number_of_sessions_is_bounded(monkeypatch):
    monkeypatch.setattr(room, "SESSIONS", 2)
    replay = filled(0)
    for pid in "abc":
        replay.keep(pid, "ann", "s1", ROOMS, 0)
    assert replay.take("a", "ann", "s1") is None
    assert replay.take("c", "ann", "s1") is not None
