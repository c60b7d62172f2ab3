"""The cache on a real server. The long run of one: `STUDIO_CANCELLED=50000 pytest -s tests/cache -k cancelled`."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from structlog.testing import CapturingLogger, capture_logs

from studio import ConfigError
from studio import cache as room
from studio.breaker import Breaker
from studio.cache import Cache, _next
from studio.model import new_id
from studio.testing.servers import free_port, start_cache

pytestmark = pytest.mark.database
CANCELLED = int(os.environ.get("STUDIO_CANCELLED", "1000"))


@pytest.fixture
async def cache(cache_server_url, monkeypatch):
    """Yield a cache that waits for a slow machine, where a real one would go on without an answer."""
    monkeypatch.setattr(room, "CALL_S", 20.0)
    monkeypatch.setattr(room, "SOCKET_S", 20.0)
    cache = Cache(cache_server_url, f"{new_id()}:")
    yield cache
    await cache.close()


@pytest.fixture
async def absent():
    cache = Cache(f"redis://127.0.0.1:{free_port()}", "t:")
    yield cache
    await cache.close()


async def answers_of(cache: Cache) -> list:
    return [
        await cache.get("k"),
        await cache.set("k", b"v"),
        await cache.delete("k"),
        await cache.incr("k"),
        await cache.incr("k", ttl_s=1),
        await cache.publish("c", b"x"),
        await cache.ping(),
    ]


async def until_answering(cache: Cache) -> None:
    """Wait out a breaker that a slow machine opened: five calls in a row over 0.6 s are enough for it."""
    async with asyncio.timeout(20):
        while not await cache.ping():
            await asyncio.sleep(0.2)


NOTHING = [None, False, False, None, None, False, False]


async def test_values_come_back_as_bytes(cache):
    assert await cache.get("k") is None
    assert await cache.set("k", "text")
    assert await cache.get("k") == b"text"
    assert await cache.set("j", "é")
    assert await cache.delete("k", "j")
    assert (await cache.get("k"), await cache.get("j")) == (None, None)
    assert not await cache.delete()
    assert await cache.ping()


async def test_keys_and_channels_carry_the_prefix(cache_server_url, cache):
    other = Cache(cache_server_url, "other:")
    await cache.set("k", "v")
    assert await other.get("k") is None
    assert await Cache.get(cache, "k") == b"v"
    await other.close()


async def test_ttl_ends_a_value(cache):
    await cache.set("k", "v", ttl_s=0.05)
    deadline = time.monotonic() + 20
    while await cache.get("k") is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_counter_counts_and_its_window_starts_at_the_first_call(cache):
    assert await cache.incr("n") == 1
    assert await cache.incr("n", 5) == 6
    assert await cache.incr("w", ttl_s=60) == 1
    await cache._client.pexpire(f"{cache._prefix}w", 30_000)
    assert await cache.incr("w", ttl_s=60) == 2
    assert 29_000 < await cache._client.pttl(f"{cache._prefix}w") <= 30_000
    totals = await asyncio.gather(*(cache.incr("p") for _ in range(40)))
    assert sorted(totals) == list(range(1, 41))


async def test_cache_that_is_not_configured_answers_nothing():
    cache = Cache()
    assert await answers_of(cache) == NOTHING
    assert [data async for data in cache.subscribe("c")] == []
    await cache.close()


async def test_cache_that_is_closed_answers_nothing(cache_server_url):
    cache = Cache(cache_server_url, f"{new_id()}:")
    assert await cache.set("k", "v")
    await cache.close()
    assert await cache.get("k") is None


def test_url_of_another_kind_is_a_config_error():
    with pytest.raises(ConfigError, match=r"cache\.url"):
        Cache("http://127.0.0.1")


async def test_absent_server_answers_nothing_logs_once_and_soon_costs_nothing(absent):
    with capture_logs() as logs:
        assert await answers_of(absent) == NOTHING
        absent._client = None  # whoever asks it now, fails
        for _ in range(1000):
            assert await absent.get("k") is None
    assert [line["event"] for line in logs] == ["cache_unavailable"]


async def test_server_that_accepts_and_never_answers_costs_its_deadline():
    async def swallow(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    cache = Cache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        start = time.perf_counter()
        assert await cache.get("k") is None
        assert 0.4 < time.perf_counter() - start < 5
        await asyncio.gather(*(cache.get("k") for _ in range(5)))
        assert not cache._breaker.allow(), "nobody waits any more"
    finally:
        await cache.close()
        server.close()


async def test_killed_server_is_noticed_and_taken_back(tmp_path, monkeypatch):
    log = CapturingLogger()
    monkeypatch.setattr("studio.cache.log", log)
    server = start_cache(tmp_path)
    cache = Cache(server.url)
    cache._breaker = Breaker(pause_s=0.05)
    try:
        assert await cache.set("k", "v")
        server.stop()
        slowest = 0.0
        for _ in range(20):
            start = time.perf_counter()
            assert await cache.get("k") is None
            slowest = max(slowest, time.perf_counter() - start)
        assert slowest < 5
        server = start_cache(tmp_path, server.port)
        back = time.monotonic()
        while not await cache.set("k", "v"):
            assert time.monotonic() - back < 20
            await asyncio.sleep(0.02)
        assert [call.args for call in log.calls] == [("cache_unavailable",), ("cache_back",)]
    finally:
        await cache.close()
        server.stop()


async def test_cancelled_calls_leave_no_answer_behind_for_the_next(cache):
    assert all([await cache.set(str(i), str(i)) for i in range(100)])
    wrong = cancelled = answered = rounds = 0

    async def read(number: int) -> bytes | None:
        if number % 3 == 0:
            return str(number).encode() if await cache.incr(f"n{number}") else None
        return await cache.get(str(number))

    while cancelled < CANCELLED:
        rounds += 1
        tasks = [asyncio.create_task(read(i)) for i in range(100)]
        for turn in range(rounds % 8):
            await asyncio.sleep(0 if turn % 2 else 0.0002)
        for task in tasks[rounds % 2 :: 2]:
            task.cancel()
        for number, answer in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
            wrong += isinstance(answer, bytes) and answer != str(number).encode()
            answered += isinstance(answer, bytes)
            cancelled += isinstance(answer, asyncio.CancelledError)
        assert rounds < CANCELLED, "too few calls were cut off to show anything"
    print(f"{cancelled} calls cancelled, {answered} answered, {wrong} of them with what belongs to another")
    assert wrong == 0
    assert answered > CANCELLED / 10
    await until_answering(cache)
    assert [await cache.get(str(i)) for i in range(100)] == [str(i).encode() for i in range(100)]
    pool = cache._client.connection_pool
    assert len(pool._in_use_connections) == 0
    assert len(pool._available_connections) <= pool.max_connections


async def test_subscription_receives_what_is_published(cache):
    ready = asyncio.Event()
    got: list[bytes] = []

    async def listen() -> None:
        async for data in cache.subscribe("room", ready.set):
            got.append(data)
            if len(got) == 3:
                return

    task = asyncio.create_task(listen())
    await asyncio.wait_for(ready.wait(), 20)
    for data in (b"1", b"2", b"3"):
        assert await cache.publish("room", data)
    await asyncio.wait_for(task, 20)
    assert got == [b"1", b"2", b"3"]


async def test_subscription_reconnects_after_a_restart(tmp_path):
    server = start_cache(tmp_path)
    cache = Cache(server.url)
    connected: asyncio.Queue[None] = asyncio.Queue()
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen() -> None:
        async for data in cache.subscribe("room", lambda: connected.put_nowait(None)):
            got.put_nowait(data)

    task = asyncio.create_task(listen())
    try:
        await asyncio.wait_for(connected.get(), 20)
        await cache.publish("room", b"before")
        assert await asyncio.wait_for(got.get(), 20) == b"before"
        server.stop()
        server = start_cache(tmp_path, server.port)
        await asyncio.wait_for(connected.get(), 20)
        assert await cache.publish("room", b"after")
        assert await asyncio.wait_for(got.get(), 20) == b"after"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await cache.close()
        server.stop()


async def test_server_that_a_subscription_has_found_again_is_called_at_once(tmp_path, monkeypatch):
    """The calls' own probe would come a minute later: whoever publishes must not wait for that."""
    monkeypatch.setattr(room, "CALL_S", 20.0)
    monkeypatch.setattr(room, "SOCKET_S", 20.0)
    server = start_cache(tmp_path)
    cache, back = Cache(server.url), asyncio.Event()
    cache._breaker = Breaker(pause_s=60)

    async def listen() -> None:
        async for _ in cache.subscribe("room", back.set):
            pass

    task = asyncio.create_task(listen())
    try:
        await asyncio.wait_for(back.wait(), 20)
        server.stop()
        back.clear()
        for _ in range(6):
            await cache.get("k")
        assert not cache._breaker.allow()
        server = start_cache(tmp_path, server.port)
        await asyncio.wait_for(back.wait(), 20)
        assert await cache.publish("room", b"after")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await cache.close()
        server.stop()


async def test_silent_subscription_asks_and_then_counts_as_lost():
    class Silent:
        pings = 0

        async def get_message(self, **options):
            return None

        async def ping(self):
            self.pings += 1

    silent = Silent()
    with pytest.raises(ConnectionError):
        await _next(silent)
    assert silent.pings == 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_breaker_opens_after_five_failures_in_ten_seconds():
    clock = Clock()
    breaker = Breaker(5.0, clock)
    for at in (0, 4, 8, 12, 16):
        clock.now = at
        breaker.failure()
    assert breaker.allow()  # never five within ten seconds
    for _ in range(3):
        breaker.failure()
    assert not breaker.allow()


def test_open_breaker_lets_one_probe_through_per_pause_and_closes_on_success():
    clock = Clock()
    breaker = Breaker(5.0, clock)
    for _ in range(5):
        assert breaker.allow()
        breaker.failure()
    assert not breaker.allow()
    clock.now = 5.0
    assert breaker.allow()
    assert not breaker.allow()  # the probe is under way
    clock.now = 12.0
    assert breaker.allow()
    breaker.failure()  # the probe failed, long after the first five
    assert not breaker.allow()
    clock.now = 17.0
    assert breaker.allow()
    breaker.success()
    assert breaker.allow()
    assert breaker.allow()


def test_success_in_between_starts_the_count_anew():
    breaker = Breaker(5.0, Clock())
    for _ in range(4):
        breaker.failure()
    breaker.success()
    for _ in range(4):
        breaker.failure()
    assert breaker.allow()
