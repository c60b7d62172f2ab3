"""A real server on a free port, and real clients."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
import socketio
from aiohttp import web
from aiohttp.test_utils import TestServer

from studio import (
    Actor,
    Message,
    NotFoundError,
    PluginContext,
    Request,
    StudioError,
    UnauthenticatedError,
)
from studio.testing.kit import Services, Settings, WebSettings, get_logger
from studio_socketio.plugin import Plugin
from studio_socketio.settings import SocketioSettings


class Auth:
    """A token is "user" or "user/session"; Ann may read project p1."""

    def __init__(self):
        self.revoked: set[str] = set()

    async def authenticate(self, credentials):
        token = (credentials.authorization or "").removeprefix("Bearer ")
        user, _, session = token.partition("/")
        if user not in ("ann", "bob"):
            raise UnauthenticatedError("The token is not good.")
        return Actor(user, session_id=session or "s1")

    async def require(self, actor, permission, project_id=None):
        if (actor.user_id, permission, project_id) != (
            "ann",
            "project:read",
            "p1",
        ) or project_id in self.revoked:
            raise NotFoundError


class Client(socketio.AsyncClient):
    """Collects events."""

    def __init__(self, **options):
        super().__init__(reconnection=False, **options)
        self.got: asyncio.Queue[tuple] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.on("*", self._event)
        self.on("disconnect", self._ended)

    async def _event(self, event, *args):
        self.got.put_nowait((event, *args))

    async def _ended(self, *_):
        self.ended.set()

    async def next(self):
        async with asyncio.timeout(5):
            return await self.got.get()


class House:
    def __init__(self, url, transport, auth):
        self.url, self.transport, self.auth = url, transport, auth
        self.stack = AsyncExitStack()

    async def connect(self, token="ann", transports=("websocket",), **extra):
        client = Client()
        self.stack.push_async_callback(client.shutdown)
        await client.connect(
            self.url, auth={"token": token, **extra}, transports=list(transports), wait_timeout=5
        )
        return client

    async def send(self, user="ann", event="assetGenResponse", seq=1, target="user", **data):
        await self.transport.send(Message(target, user, event, data, seq))


@pytest.fixture
async def house():
    services = Services()
    services.auth = auth = Auth()
    services.settings = Settings(web=WebSettings(cors_origins=["https://app.example"]))
    plugin, ctx = Plugin(), PluginContext("socketio", services, SocketioSettings(), get_logger("socketio"))
    app = web.Application()
    for route in plugin.register_routes(ctx):

        async def handle(raw, route=route):
            try:
                return await route.handler(Request(raw, ctx, "request-1"))
            except StudioError as error:
                headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
                return web.json_response({"code": error.code}, status=error.status, headers=headers)

        app.router.add_route(route.method, route.path, handle)
    async with plugin.lifespan(ctx), TestServer(app) as server:
        (transport,) = plugin.realtime_backends(ctx)
        made = House(str(server.make_url("/")).rstrip("/"), transport, auth)
        yield made
        await made.stack.aclose()
        await transport.close()
    await ctx.close()


@pytest.fixture
def until():
    async def wait(condition):
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)

    return wait
