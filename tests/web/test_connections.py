from __future__ import annotations

import asyncio
import io
import socket
from contextlib import suppress

import pytest
from aiohttp import web

from studio import PUBLIC, Model, Route
from studio.cli.connections import close_silent, drain, limit_connections, stop_listening
from studio.cli.process import UNSENT, _bind
from studio.web import typed
from studio.web.connections import HANDLER_ARGS

pytestmark = pytest.mark.http
HEAD = b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"


class Thing(Model):
    name: str


async def create_thing(request, body: Thing):
    return body


async def get_thing(request):
    return Thing(name="x")


async def keep_upload(request):
    return Thing(name=str(len(await request.raw.read())))


async def get_much(request):
    return web.Response(body=b"x" * 20_000_000)


async def dawdle(request):
    await asyncio.sleep(0.6)
    return Thing(name=str(len(await request.raw.read())))


async def open_with(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def close_all(connections):
    for _, writer in connections:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in connections), return_exceptions=True)


@pytest.fixture
async def swept(serve, monkeypatch):
    monkeypatch.setitem(HANDLER_ARGS, "lingering_time", 0.1)
    raw = {"media": ("image/png",), "deadline_s": 0, "body_limit": 10_000_000}
    house = await serve(
        Route("POST", "/api/x", create_thing, PUBLIC),
        Route("GET", "/api/x", get_thing, PUBLIC),
        Route("POST", "/api/upload", keep_upload, PUBLIC, **raw),
        Route("POST", "/api/slow", dawdle, PUBLIC, **raw),
        Route("GET", "/api/much", get_much, PUBLIC, deadline_s=0, produces="image/png"),
    )
    sweeper = asyncio.create_task(close_silent(house.client.server.runner.server, 0.2, 0.02, 0.3))
    yield house
    sweeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeper


async def test_thirty_slow_connections_are_closed_and_others_served(swept, monkeypatch):
    monkeypatch.setattr(typed, "BODY_DEADLINE_S", 0.05)
    port = swept.client.port
    kinds = [b"", HEAD, HEAD + b"\r\n{"]  # silent, half a head, half a body
    connections = [await open_with(port, data) for data in kinds for _ in range(10)]
    assert (await swept.call("GET", "/api/x", None)).status == 200
    async with asyncio.timeout(20):
        endings = await asyncio.gather(*(reader.read() for reader, _ in connections))
    await close_all(connections)
    assert [ending[:12] for ending in endings] == [b""] * 20 + [b"HTTP/1.1 408"] * 10
    assert swept.errors == []


async def test_kept_alive_connection_outlives_the_head_deadline(swept):
    request = b"GET /api/x HTTP/1.1\r\nHost: x\r\n\r\n"
    kept = await open_with(swept.client.port, request)
    silent = await open_with(swept.client.port, b"")
    async with asyncio.timeout(20):
        assert b"200" in await kept[0].readline()
        assert await silent[0].read() == b""
        kept[1].write(request)
        await kept[0].readuntil(b'{"name":"x"}')
        await kept[0].readuntil(b'{"name":"x"}')
    await close_all([kept, silent])


async def test_head_that_trickles_does_not_live_longer(swept):
    reader, writer = await open_with(swept.client.port, b"GET /api/x HTTP/1.1\r\n")
    ended = asyncio.create_task(reader.read())
    async with asyncio.timeout(20):
        while not ended.done():
            writer.write(b"X-A: b\r\n")
            await asyncio.wait([ended], timeout=0.03)
    await close_all([(reader, writer)])
    assert ended.exception() is None or isinstance(ended.exception(), ConnectionError)


@pytest.mark.parametrize(
    "request_bytes", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n"]
)
async def test_malformed_request_gets_400_without_versions_or_tracebacks(serve, caplog, request_bytes):
    house = await serve(Route("GET", "/api/x", get_thing, PUBLIC))
    connections = [await open_with(house.client.port, request_bytes) for _ in range(2)]
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(reader.read() for reader, _ in connections))
    await close_all(connections)
    assert answers[0].split()[1] == b"400"
    assert b"Server: studio" in answers[0]
    assert b"aiohttp" not in answers[0]
    assert "Traceback" not in caplog.text


UPLOAD = b"POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"


async def test_upload_that_stalls_is_cut_on_a_route_without_deadline(swept):
    connections = [await open_with(swept.client.port, UPLOAD + b"x" * 10) for _ in range(5)]
    async with asyncio.timeout(20):
        await asyncio.gather(*(reader.read() for reader, _ in connections), return_exceptions=True)
    await close_all(connections)
    assert not swept.errors


async def test_upload_that_goes_on_slowly_arrives(swept):
    reader, writer = await open_with(swept.client.port, UPLOAD)
    async with asyncio.timeout(30):
        for _ in range(10):
            writer.write(b"x" * 100)
            await asyncio.sleep(0.05)  # in all more than a silence may last
        assert b"200" in await reader.readline()
    await close_all([(reader, writer)])


async def test_handler_that_lets_a_client_wait_is_not_the_clients_fault(swept):
    async with asyncio.timeout(30):
        answer = await swept.call(
            "POST",
            "/api/slow",
            None,
            data=io.BytesIO(b"x" * 5_000_000),
            headers={"Content-Type": "image/png"},
        )
    assert answer.data == {"name": "5000000"}


async def test_client_that_reads_nothing_is_cut_and_others_served(swept):
    request = b"GET /api/much HTTP/1.1\r\nHost: x\r\n\r\n"
    connections = [await open_with(swept.client.port, request) for _ in range(5)]
    for _, writer in connections:
        writer.transport.pause_reading()
    server = swept.client.server.runner.server
    async with asyncio.timeout(30):
        while len(server.connections) > 0:
            await asyncio.sleep(0.02)
    assert (await swept.call("GET", "/api/x", None)).status == 200
    for _, writer in connections:
        writer.transport.abort()
    assert not swept.errors


@pytest.mark.parametrize(("most", "of_one", "exempt"), [(4, 99, False), (99, 4, False), (4, 2, True)])
async def test_more_connections_than_allowed_are_refused_and_room_is_found_again(serve, most, of_one, exempt):
    house = await serve(Route("GET", "/api/x", get_thing, PUBLIC))
    server, port = house.client.server.runner.server, house.client.port
    limit_connections(server, most, of_one, lambda address: exempt and address == "127.0.0.1")
    kept = [await open_with(port, b"") for _ in range(4)]
    refused = await open_with(port, b"")
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            assert await refused[0].read() == b""
        assert len(server.connections) == 4
        await close_all([*kept, refused])
        while server.connections:
            await asyncio.sleep(0.01)
    assert (await house.call("GET", "/api/x", None)).status == 200


GET = b"GET /api/x HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT = b"GET /api/wait HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"Connection: close"


async def head_of(reader):
    return await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("proxies", [(), ("10.0.0.0/8",)])
async def test_stopping_server_answers_what_comes_on_open_connections_and_says_it_is_the_last(serve, proxies):
    entered, going_on = asyncio.Event(), asyncio.Event()

    async def wait(request):
        entered.set()
        await going_on.wait()
        return Thing(name="x")

    routes = Route("GET", "/api/x", get_thing, PUBLIC), Route("GET", "/api/wait", wait, PUBLIC)
    house = await serve(*routes, proxies=proxies)
    port, server = house.client.port, house.client.server.runner.server
    async with asyncio.timeout(20):
        idle, busy = await open_with(port, GET), await open_with(port, WAIT)
        assert LAST not in await head_of(idle[0])
        await idle[0].readuntil(b"}")
        await entered.wait()
        stopping = asyncio.create_task(drain(server, 15))
        await asyncio.sleep(0)
        new = await open_with(port, GET)
        idle[1].write(GET)
        going_on.set()
        for reader, _ in (idle, busy, new):
            assert LAST in await head_of(reader)
            assert await reader.read() == b'{"name":"x"}', "and then it is closed"
        await stopping
    await close_all([idle, busy, new])


async def test_drain_waits_for_nobody_longer_than_it_may(serve):
    house = await serve(Route("GET", "/api/x", get_thing, PUBLIC))
    silent = await open_with(house.client.port, b"")
    async with asyncio.timeout(10):
        await drain(house.client.server.runner.server, 0.05)
    await close_all([silent])


async def test_port_that_closes_takes_in_who_is_connected_already(serve):
    """The clients connect and the port closes in one turn of the loop: the server has accepted none of them."""
    house = await serve(Route("GET", "/api/x", get_thing, PUBLIC))
    runner = house.client.server.runner
    listener = socket.create_server(("127.0.0.1", 0))
    site = web.SockSite(runner, listener)
    await site.start()
    clients = []
    for _ in range(5):
        clients.append(socket.create_connection(listener.getsockname()))
        clients[-1].sendall(GET)
    port = listener.getsockname()[1]
    await stop_listening(site, listener, runner.server)
    for client in clients:
        client.settimeout(20)
        assert (await asyncio.to_thread(client.recv, 100)).startswith(b"HTTP/1.1 200")
        client.close()
    with pytest.raises(ConnectionRefusedError):
        await open_with(port, GET)


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such limit")
async def test_system_takes_little_for_a_client_that_reads_nothing():
    """Else the queue by which a slow client is cut begins to grow only after some 4 MB."""
    taken = asyncio.get_running_loop().create_future()

    async def serve_much(_, writer):
        sent = 0
        while not writer.transport.get_write_buffer_size():
            writer.write(b"x" * 16_384)
            sent += 16_384
            await asyncio.sleep(0)
        taken.set_result(sent)
        writer.transport.abort()

    listener = _bind("127.0.0.1", 0)
    server = await asyncio.start_server(serve_much, sock=listener)
    silent = socket.create_connection(listener.getsockname())
    async with asyncio.timeout(20):
        assert await taken < 8 * UNSENT
    silent.close()
    server.close()
