"""The real socket.io-client 4.8 on Node, unmodified, against the plugin."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from studio import Actor, Message, PluginContext, Request, UnauthenticatedError
from studio.plugins.context import Services
from studio.settings import Settings
from studio.telemetry import get_logger

pytestmark = pytest.mark.peer


class Auth:
    async def authenticate(self, credentials):
        if credentials.authorization != "Bearer ann":
            raise UnauthenticatedError
        return Actor("ann", session_id="s1")


@pytest.fixture(scope="session")
def script(node_script):
    return node_script("socketio_client.mjs", "socket.io-client@4.8")


@pytest.fixture
async def server():
    plugin_module = pytest.importorskip("studio_socketio.plugin")
    services = Services()
    services.auth, services.settings = Auth(), Settings()
    settings = plugin_module.SocketioSettings()
    plugin, ctx = (
        plugin_module.Plugin(),
        PluginContext("socketio", services, settings, get_logger("socketio")),
    )
    app = web.Application()
    for route in plugin.register_routes(ctx):

        async def handle(raw, route=route):
            return await route.handler(Request(raw, ctx, "request-1"))

        app.router.add_route(route.method, route.path, handle)
    async with plugin.lifespan(ctx), TestServer(app) as running:
        running.transport = plugin.realtime_backends(ctx)[0]
        yield running
        await running.transport.close()
    await ctx.close()


class Client:
    def __init__(self, process):
        self.process = process

    async def next(self, what):
        async with asyncio.timeout(60):
            while line := await self.process.stdout.readline():
                said = json.loads(line)
                if said["what"] == what:
                    return said
        raise AssertionError(f"the client ended before {what}")

    def tell(self, word):
        self.process.stdin.write(f"{word}\n".encode())


@pytest.fixture
def client(script, server):
    @asynccontextmanager
    async def started(token="ann", transports="websocket"):
        process = await asyncio.create_subprocess_exec(
            "node",
            str(script),
            str(server.make_url("")),
            token,
            transports,
            stdin=-1,
            stdout=-1,
            stderr=sys.stderr,
        )
        try:
            yield Client(process)
        finally:
            if process.returncode is None:
                process.kill()
            process.stdin.close()
            await process.communicate()

    return started


def message(number):
    return Message("user", "ann", "assetGenResponse", {"n": number}, number)


@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket", "websocket,polling"])
async def test_event_arrives_over_every_transport(client, server, transports):
    async with client(transports=transports) as node:
        connected = await node.next("connect")
        assert connected["transport"] in transports.split(",")
        assert connected["recovered"] is False
        await server.transport.send(message(1))
        assert (await node.next("event"))["data"] == {"n": 1, "seq": 1}


async def test_bad_token_is_a_connect_error(client):
    async with client("nobody") as node:
        assert (await node.next("connect_error"))["code"] == "unauthenticated"


async def test_client_that_lost_its_connection_recovers_what_it_missed(client, server):
    async with client() as node:
        await node.next("connect")
        await server.transport.send(message(1))
        await node.next("event")
        (connected,) = server.transport.clients.values()
        server.transport.sio.environ[connected.eio_sid]["aiohttp.request"].transport.abort()
        await node.next("disconnect")
        await server.transport.send(message(2))
        await server.transport.send(message(3))
        assert (await node.next("connect"))["recovered"] is True
        assert [(await node.next("event"))["data"]["n"] for _ in range(2)] == [2, 3]
        await server.transport.send(message(4))
        assert (await node.next("event"))["data"]["n"] == 4


async def test_revoked_client_is_told_and_stays_away(client, server):
    async with client() as node:
        await node.next("connect")
        await server.transport.disconnect("ann")
        assert (await node.next("disconnect"))["reason"] == "io server disconnect"


async def test_client_comes_back_by_itself_after_a_stop(client, server):
    async with client() as node:
        await node.next("connect")
        await server.transport.close()
        assert (await node.next("disconnect"))["reason"] == "transport close"
        await node.next("connect")
