from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from studio import Actor, Message, NotFoundError, PluginContext, UnauthenticatedError, UnavailableError
from studio.testing.kit import Services, Settings, WebDeps, bind, build_application, get_logger
from studio_sse.plugin import Plugin
from studio_sse.settings import SseSettings

pytestmark = pytest.mark.http


class Auth:
    async def authenticate(self, credentials):
        token = (credentials.authorization or "").removeprefix("Bearer ") or credentials.cookies.get(
            "session"
        )
        if token not in ("ann", "bob"):
            raise UnauthenticatedError
        return Actor(token, session_id=f"{token}-1")

    async def require(self, actor, permission, project_id=None):
        assert permission == "project:read"
        if (actor.user_id, project_id) != ("ann", "p1"):
            raise NotFoundError


@pytest.fixture
async def house():
    services = Services()
    services.auth = Auth()
    plugin, ctx = Plugin(), PluginContext("sse", services, SseSettings(), get_logger("sse"))
    deps = WebDeps(auth=services.auth, settings=Settings())
    app = build_application([("sse", r, bind(r, ctx, deps)) for r in plugin.register_routes(ctx)], deps=deps)
    async with plugin.lifespan(ctx), TestServer(app) as server, TestClient(server) as client:
        (hub,) = plugin.realtime_backends(ctx)

        def connect(who="ann", query="", **headers):
            return client.get(f"/api/events{query}", headers={"Authorization": f"Bearer {who}", **headers})

        yield SimpleNamespace(hub=hub, client=client, connect=connect)


async def event(answer):
    """Return the fields of the next event that has a name."""
    async with asyncio.timeout(5):
        while True:
            block = (await answer.content.readuntil(b"\n\n")).decode().strip()
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                return fields


def note(seq, target="user", target_id="ann"):
    return Message(target, target_id, "note", {"n": seq}, seq)


async def test_stream_needs_somebody(house):
    answer = await house.client.get("/api/events")
    assert answer.status == 401


async def test_events_arrive_as_they_happen(house):
    async with house.connect() as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        await house.hub.send(note(1))
        assert await event(answer) == {"id": "1", "event": "note", "data": '{"n":1,"seq":1}'}


async def test_cookie_signs_in_too(house):
    async with house.client.get("/api/events", cookies={"session": "ann"}) as answer:
        assert answer.status == 200


async def test_project_room_is_joined_after_a_permission_check(house):
    async with house.connect(query="?project=p1") as answer:
        await house.hub.send(note(3, "room", "project:p1"))
        assert (await event(answer))["id"] == "0.3"


async def test_foreign_project_is_not_found(house):
    async with house.connect("bob", "?project=p1") as answer:
        assert answer.status == 404


async def test_too_many_projects_are_refused(house):
    async with house.connect(query="?" + "&".join(f"project=p{n}" for n in range(30))) as answer:
        assert answer.status == 422


async def test_last_event_id_resumes_the_stream(house):
    async with house.connect() as answer:
        await house.hub.send(note(1))
        last = (await event(answer))["id"]
    await house.hub.send(note(2))
    async with house.connect(**{"Last-Event-ID": last}) as answer:
        assert (await event(answer))["id"] == "2"


async def test_unknown_last_event_id_asks_for_a_resync(house):
    async with house.connect(**{"Last-Event-ID": "99"}) as answer:
        assert (await event(answer))["event"] == "resync"


async def test_revoked_session_ends_its_stream_at_once(house):
    async with house.connect() as answer, asyncio.timeout(5):
        await house.hub.disconnect("ann", session_id="ann-1")
        assert (await answer.content.read())[9:] == b""


async def test_stop_ends_every_stream(house):
    async with house.connect() as answer, asyncio.timeout(5):
        await house.hub.close()
        assert b"retry: " in await answer.content.read()
        assert not house.hub._streams


async def test_client_that_leaves_is_forgotten(house):
    async with house.connect():
        assert house.hub._streams
    async with asyncio.timeout(10):
        while house.hub._streams:
            await house.hub.send(note(1))
            await asyncio.sleep(0.01)


async def test_user_has_only_so_many_streams_and_gets_the_place_back(house):
    house.hub.settings = SseSettings(per_user=2)
    one, two = await house.connect(), await house.connect()
    async with house.connect() as refused:
        assert (refused.status, (await refused.json())["code"]) == (429, "too_many_connections")
        assert refused.headers["Retry-After"] == "5"
    async with house.connect("bob") as other:
        assert other.status == 200
    one.close()
    async with asyncio.timeout(20):
        while True:
            again = await house.connect()
            if again.status == 200:
                break
            again.close()
            await asyncio.sleep(0.02)
    again.close()
    two.close()


async def test_streams_that_come_at_once_are_counted_too(house):
    house.hub.settings = SseSettings(per_user=2)
    answers = await asyncio.gather(*(house.connect() for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 2 + [429] * 6
    for answer in answers:
        answer.close()


async def test_process_has_only_so_many_streams(house):
    house.hub.settings = SseSettings(total=1)
    async with house.connect(), house.connect("bob") as refused:
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("lost", ["session", "project"])
async def test_stream_opened_by_an_answer_from_before_a_revocation_ends_a_second_later(
    house, monkeypatch, lost
):
    """The order to disconnect came while it was opened, and did not find it."""
    monkeypatch.setattr("studio_sse.handlers.AGAIN_S", 0.05)

    async def no(*_):
        raise UnauthenticatedError if lost == "session" else NotFoundError

    async with house.connect(query="?project=p1") as answer, asyncio.timeout(5):
        monkeypatch.setattr(Auth, "authenticate" if lost == "session" else "require", no)
        await answer.content.read()
    assert not house.hub._streams


async def test_stream_stays_while_nobody_can_tell_whose_it_is(house, monkeypatch):
    monkeypatch.setattr("studio_sse.handlers.AGAIN_S", 0.02)
    asked = asyncio.Event()

    async def away(*_):
        asked.set()
        raise UnavailableError

    async with house.connect() as answer, asyncio.timeout(5):
        monkeypatch.setattr(Auth, "authenticate", away)
        await asked.wait()
        await house.hub.send(note(1))
        assert (await event(answer))["id"] == "1"
