"""A right that is taken away is gone within a second, also on connections that are open already."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from studio import new_id

pytestmark = pytest.mark.http
LIMIT_S = 1.0


class Connections:
    """A stream of events and a Socket.IO connection of one token, both in a project's room."""

    def __init__(self, stream, socket):
        self.stream, self.socket = stream, socket

    async def ended(self):
        """Return how many seconds it takes until both are closed."""
        began = time.monotonic()
        async with asyncio.timeout(5):
            await asyncio.gather(self.stream.content.read(), self._socket_ended())
        return time.monotonic() - began

    async def _socket_ended(self):
        while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
            if message.data == "2":
                await self.socket.send_str("3")
            if message.data.startswith("41"):
                return


@asynccontextmanager
async def connected(base, token, project):
    """Open both, and return when both are in the project's room."""
    bearer = {"Authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stream = await stack.enter_async_context(
            session.get(f"{base}/api/events?project={project}", headers=bearer)
        )
        assert stream.status == 200
        await stream.content.readuntil(b"\n\n")
        socket = await stack.enter_async_context(
            session.ws_connect(f"{base}/socket.io/?EIO=4&transport=websocket")
        )
        await until(socket, "0")
        await socket.send_str(f'40{{"token":"{token}"}}')
        await until(socket, "40")
        await socket.send_str(f'420["join",{{"projectId":"{project}"}}]')
        assert '"ok":true' in await until(socket, "430")
        yield Connections(stream, socket)


async def until(socket, start):
    async with asyncio.timeout(5):
        while True:
            text = await socket.receive_str()
            if text.startswith(start):
                return text


@pytest.fixture
async def member(server, client):
    """Return (project, somebody who works on it, their membership)."""
    project = (await client.post("/api/workbench/projects", {"name": "Rain"})).json["id"]
    person = await server.sign_in(f"{new_id().lower()}@example.org")
    membership = await person.join(client, project)
    return project, person, membership["id"]


async def test_removed_collaborator_is_out_within_a_second(server, client, member):
    project, person, membership = member
    async with connected(server._base, person.tokens["accessToken"], project) as open_:
        assert (await person.get(f"/api/workbench/projects/{project}")).status == 200
        gone = asyncio.create_task(open_.ended())
        removed = await client.delete(f"/api/rbac/projects/{project}/collaborators/{membership}")
        assert removed.status == 204
        assert (await person.get(f"/api/workbench/projects/{project}")).status == 404
        assert (await person.get(f"/api/events?project={project}")).status == 404
        assert await gone < LIMIT_S


@pytest.mark.parametrize("way", ["logout", "logout-all", "sessions"])
async def test_ended_session_is_out_within_a_second(server, member, way):
    project, person, _ = member
    async with connected(server._base, person.tokens["accessToken"], project) as open_:
        gone = asyncio.create_task(open_.ended())
        if way == "sessions":
            other = await server.sign_in(person.user["email"])
            sessions = (await other.get("/api/auth/sessions")).json["items"]
            for session in sessions:
                if not session["current"]:
                    assert (await other.delete(f"/api/auth/sessions/{session['id']}")).status == 204
        else:
            assert (await person.post(f"/api/auth/{way}")).status == 204
        assert (await person.get("/api/auth/me")).status == 401
        assert await gone < LIMIT_S


async def test_reused_refresh_token_cuts_the_open_connections(server, member, monkeypatch):
    project, person, _ = member
    old = person.tokens["refreshToken"]
    pair = (await server.post("/api/auth/refresh", {"refreshToken": old})).json
    await server.post("/api/auth/refresh", {"refreshToken": pair["refreshToken"]})
    async with connected(server._base, pair["accessToken"], project) as open_:
        gone = asyncio.create_task(open_.ended())
        assert (await server.post("/api/auth/refresh", {"refreshToken": old})).status == 401
        assert await gone < LIMIT_S


async def test_revoked_key_is_out_within_a_second(server, client):
    project = (await client.post("/api/workbench/projects", {"name": "Rain"})).json["id"]
    body = {"name": "Wall", "scopes": ["signed_in", "project:read"]}
    key = (await client.post("/api/auth/api-keys", body)).json
    async with connected(server._base, key["key"], project) as open_:
        gone = asyncio.create_task(open_.ended())
        assert (await client.delete(f"/api/auth/api-keys/{key['id']}")).status == 204
        assert await gone < LIMIT_S
