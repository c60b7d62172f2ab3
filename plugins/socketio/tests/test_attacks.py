"""What a hostile client may try over Engine.IO and Socket.IO; a second client must notice nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import socketio

from studio_socketio.settings import SocketioSettings

pytestmark = pytest.mark.http
EVIL = {"Origin": "https://evil.example"}


@asynccontextmanager
async def spoken(house, token="ann"):
    """Yield a websocket that has shown a good token, and speaks by hand."""
    async with aiohttp.ClientSession() as session:
        ws = await session.ws_connect(f"{house.url}/socket.io/?EIO=4&transport=websocket")
        assert (await ws.receive()).data.startswith("0")
        await ws.send_str("40" + json.dumps({"token": token}))
        async with asyncio.timeout(20):
            while not (await ws.receive()).data.startswith("40"):
                pass
        yield ws
        await ws.close()


async def send_all(ws, frames):
    with suppress(aiohttp.ClientConnectionError):
        for frame in frames:
            await ws.send_str(frame)


async def ended(ws):
    async with asyncio.timeout(20):
        while (await ws.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            pass


async def still_served(house, bob, number=1):
    await house.send("bob", n=number)
    assert (await bob.next())[1]["n"] == number


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"]
)
async def test_handshake_from_another_origin_is_refused(house, transport, origin):
    url = f"{house.url}/socket.io/?EIO=4&transport={transport}"
    async with aiohttp.ClientSession() as session:
        if transport == "websocket":
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url, headers={"Origin": origin})
            assert refused.value.status == 400
        else:
            async with session.get(url, headers={"Origin": origin}) as answer:
                assert answer.status == 400
                assert "Access-Control-Allow-Origin" not in answer.headers
    assert not house.transport.sio.eio.sockets


async def test_session_of_another_origin_cannot_be_used(house):
    async with aiohttp.ClientSession() as session:
        url = f"{house.url}/socket.io/?EIO=4&transport=polling"
        async with session.get(url) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        async with session.post(f"{url}&sid={sid}", data='40{"token":"ann"}', headers=EVIL) as answer:
            assert answer.status == 400
        assert not house.transport.clients


@pytest.mark.parametrize(
    "frame",
    [
        '451000-["join",{"_placeholder":true,"num":0}]',
        '45999999999999-["join"]',
        '451-["join",{"_placeholder":true,"num":7}]',
        "42" + "[" * 100_000,
        '42["join",' + '{"a":' * 50_000,
        '42["join","\\ud800"]',
        "42" + "9" * 100_000 + '["join"]',
        '42/other,["join",{}]',
        "41",
        "43[]",
        "439999999[1]",
        "44{}",
        "46[]",
        "5",
        "6",
        "1",
        "\x00",
    ],
    ids=lambda frame: frame[:20],
)
async def test_frame_that_is_no_honest_packet_touches_nobody_else(house, frame, caplog):
    bob = await house.connect("bob")
    async with spoken(house) as ws:
        await send_all(ws, [frame, frame])
        await still_served(house, bob)
    assert not [record for record in caplog.records if record.exc_info]


async def test_binary_attachments_that_nobody_announced_end_the_connection(house):
    bob = await house.connect("bob")
    async with spoken(house) as ws:
        with suppress(aiohttp.ClientConnectionError):
            for _ in range(1000):
                await ws.send_bytes(b"x" * 1000)
        await ended(ws)
        await still_served(house, bob)


async def test_a_poll_of_more_than_a_megabyte_or_of_too_many_packets_does_nothing(house, caplog):
    bob = await house.connect("bob")
    async with aiohttp.ClientSession() as session:
        url = f"{house.url}/socket.io/?EIO=4&transport=polling"
        async with session.get(url) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        async with session.post(f"{url}&sid={sid}", data="4" * 1_000_001) as answer:
            assert answer.status in (400, 413)
        async with session.get(url) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        many = "\x1e".join(['42["join",{}]'] * 10_000)
        async with session.post(f"{url}&sid={sid}", data=many) as answer:
            assert answer.status in (200, 400)  # the library says OK, and drops them all
    await still_served(house, bob)
    assert set(house.transport.clients) == {client.sid for client in house.transport._rooms["user:bob"]}
    assert not [record for record in caplog.records if record.exc_info]


async def test_flood_of_pongs_neither_grows_nor_blocks_anything(house):
    bob = await house.connect("bob")
    async with spoken(house) as ws:
        before = len(asyncio.all_tasks())
        await send_all(ws, ["3"] * 5_000)
        await still_served(house, bob)
        assert len(asyncio.all_tasks()) < before + 50
        socket = next(s for s in house.transport.sio.eio.sockets.values())
        assert socket.queue.qsize() < 100


async def test_flood_of_packets_ends_the_connection(house, until):
    bob = await house.connect("bob")
    async with spoken(house) as ws:
        await send_all(ws, ['420["join",{"projectId":"p2"}]'] * 2_000)
        await ended(ws)
    await until(lambda: len(house.transport.clients) == 1)
    await still_served(house, bob)
    assert len(house.transport._heard) <= 1


async def test_user_has_only_so_many_connections(house, until):
    house.transport.settings = SocketioSettings(per_user=3)
    kept = [await house.connect() for _ in range(3)]
    with pytest.raises(socketio.exceptions.ConnectionError):
        await house.connect()
    await house.connect("bob")
    await kept.pop().disconnect()
    await until(lambda: len(house.transport.clients) == 3)
    await house.connect()


async def test_connections_that_come_at_once_are_counted_too(house, until):
    house.transport.settings = SocketioSettings(per_user=3)
    tries = await asyncio.gather(*(house.connect() for _ in range(12)), return_exceptions=True)
    await until(lambda: len(house.transport.clients) == 3)
    assert sum(isinstance(found, Exception) for found in tries) == 9


async def test_process_has_only_so_many_connections(house):
    house.transport.settings = SocketioSettings(total=2)
    await house.connect()
    await house.connect("bob")
    async with aiohttp.ClientSession() as session:
        for transport in ("polling", "websocket"):
            async with session.get(f"{house.url}/socket.io/?EIO=4&transport={transport}") as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    "frame",
    [
        '42["user:bob",{"n":666}]',
        '42["assetGenResponse",{"n":666}]',
        '42["join",{"projectId":"user:bob"}]',
        '42["join","user:bob"]',
        '42["join",["user:bob"]]',
        '42["join",{"projectId":{"$ne":null}}]',
        '42["emit","user:bob","x"]',
        '42["room","user:bob"]',
        '42["leave",{"projectId":"../user:bob"}]',
    ],
)
async def test_nobody_hears_or_speaks_in_another_users_room(house, frame):
    bob = await house.connect("bob")
    async with spoken(house) as ws:
        await send_all(ws, [frame])
        await house.send("bob", n=1)
        assert (await bob.next())[1]["n"] == 1
        assert {c.actor.user_id for c in house.transport._rooms["user:bob"]} == {"bob"}
        await house.send(n=2)
        async with asyncio.timeout(20):
            while '"n":' not in (heard := (await ws.receive()).data):
                pass
        assert '"n":2' in heard
