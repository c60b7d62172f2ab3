"""What another process revoked is cut here, also when no order to do so arrived."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from studio import DatabaseUnavailableError
from studio_auth import watch as module
from studio_auth.models import ApiKeyCreate
from studio_auth.watch import EVERY_S, WINDOW_MS

pytestmark = pytest.mark.memory
EMAIL = "maya@example.org"


@pytest.fixture
async def two(build_house):
    """Two processes on one database; the second has heard nothing of the first."""
    first = build_house()
    second = build_house(database=first.database)
    second.clock = second.watch._clock = second.accounts._clock = first.clock
    return first, second


async def test_session_that_another_process_ended_is_cut_here_once(two):
    here, there = two
    pair = await here.accounts.sign_in(EMAIL, "", "")
    actor = await here.who(pair["access_token"])
    await there.accounts.sign_out(actor)
    for _ in range(3):
        await here.watch.look("sessions")
    assert here.sockets.cut == [(actor.user_id, actor.session_id)]
    assert await here.who(pair["access_token"]) is None, "before the belief has ended by itself"


async def test_sign_out_everywhere_is_cut_here_too_and_others_stay(two):
    here, there = two
    mine = [await here.accounts.sign_in(EMAIL, "", "") for _ in range(3)]
    other = await here.accounts.sign_in("tom@example.org", "", "")
    await there.accounts.revoke_all(mine[0]["user"]["_id"])
    await here.watch.look("sessions")
    assert {user for user, _ in here.sockets.cut} == {mine[0]["user"]["_id"]}
    assert len(here.sockets.cut) == 3
    assert await here.who(other["access_token"])


async def test_key_that_another_process_revoked_is_cut_here(two):
    here, there = two
    maya = await here.who((await here.accounts.sign_in(EMAIL, "", ""))["access_token"])
    made = await here.keys.create_api_key(maya, ApiKeyCreate(name="CI", scopes=["story:read"]))
    assert await here.who(made["key"])
    await there.keys.revoke_api_key(maya, made["_id"])
    await here.watch.look("api_keys")
    assert here.sockets.cut == [(maya.user_id, made["_id"])]
    assert await here.who(made["key"]) is None


async def test_what_was_revoked_long_ago_is_not_cut_again_after_a_start(two):
    here, there = two
    pair = await here.accounts.sign_in(EMAIL, "", "")
    await there.accounts.revoke_all(pair["user"]["_id"])
    here.clock.pass_s(WINDOW_MS / 1000)
    await here.watch.look("sessions")
    assert here.sockets.cut == []


async def test_watch_outlives_a_database_that_is_away(two, monkeypatch):
    here, _ = two
    looks = []

    async def look(collection):
        looks.append(collection)
        if len(looks) == 1:
            raise DatabaseUnavailableError("away")

    monkeypatch.setattr(module, "EVERY_S", 0)
    monkeypatch.setattr(here.watch, "look", look)
    here.ctx._services.cache = SimpleNamespace(url="redis://")
    task = asyncio.ensure_future(here.watch.run())
    while len(looks) < 4:
        await asyncio.sleep(0)
    task.cancel()
    assert EVERY_S < 1


async def test_without_redis_nobody_is_asked(two, monkeypatch):
    here, _ = two
    monkeypatch.setattr(here.watch, "look", None)
    here.ctx._services.cache = SimpleNamespace(url=None)
    await here.watch.run()
