"""Somebody who can write to our Redis says things on our channel: they are ignored, nothing is unpickled, we live."""

from __future__ import annotations

import asyncio
import os
import pickle

import pytest
import redis.asyncio

from studio.cache import Cache
from studio.model import new_id
from studio.realtime import CHANNEL, Event, Realtime

pytestmark = pytest.mark.database
EVENTS = {"note": Event("note", "A note")}


class Bomb:
    """Writes a file in whoever unpickles it, as python-socketio before 5.14 would have."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Recorder:
    name = "recorder"

    def __init__(self):
        self.got: asyncio.Queue = asyncio.Queue()

    async def send(self, message):
        self.got.put_nowait(message)

    async def disconnect(self, user_id, *, session_id=None):
        self.got.put_nowait((user_id, session_id))


@pytest.fixture
async def two(cache_server_url):
    """Return (one process, another with a recorder, a client of Redis that writes what it likes, their prefix)."""
    prefix = f"{new_id()}:"
    caches = [Cache(cache_server_url, prefix) for _ in range(2)]
    here, there = (Realtime(cache, EVENTS) for cache in caches)
    there.transports.append(Recorder())
    await there.start()
    hostile = redis.asyncio.Redis.from_url(cache_server_url)
    async with asyncio.timeout(10):
        while not (await hostile.pubsub_numsub(f"{prefix}{CHANNEL}"))[0][1]:
            await asyncio.sleep(0.01)
    yield here, there.transports[0], hostile, prefix
    await hostile.aclose()
    for realtime in (here, there):
        await realtime.stop()
    for cache in caches:
        await cache.close()


async def test_what_is_no_message_of_ours_is_ignored_and_the_next_one_arrives(two, tmp_path):
    here, recorder, hostile, prefix = two
    bombs = [pickle.dumps(Bomb(tmp_path / f"gone-{protocol}"), protocol) for protocol in range(6)]
    others = [
        b"", b"null", b"[]", b"5", b"\xff" * 100, b"{", b"{" * 100_000, b'{"origin":"x"}',
        b'{"origin":"x","disconnect":5}', b'{"origin":"x","disconnect":[]}', b'{"origin":"x","target":"user"}',
        b'{"origin":"x","target":{},"target_id":[],"event":{},"data":5,"seq":"x"}',
        b'{"origin":"x","target":"user","target_id":"ann","event":"unheard-of","data":{},"seq":1,"more":1}',
        b'{"method":"emit","event":"note","data":{},"room":"user:ann"}',
    ]  # fmt: skip
    for data in bombs + others:
        assert await hostile.publish(f"{prefix}{CHANNEL}", data) == 1
    here.publish("ann", "note", {"n": 1})
    async with asyncio.timeout(10):
        message = await recorder.got.get()
    assert (message.target_id, message.data) == ("ann", {"n": 1})
    assert list(tmp_path.iterdir()) == []


async def test_channel_of_another_prefix_is_not_listened_to(two):
    here, recorder, hostile, _ = two
    assert await hostile.publish(f"other:{CHANNEL}", b'{"origin":"x","disconnect":["ann",null]}') == 0
    await here.disconnect("bob")
    async with asyncio.timeout(10):
        assert await recorder.got.get() == ("bob", None)
