from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from studio.testing.kit import get_logger
from studio_limits import shared
from studio_limits.settings import Rate
from studio_limits.shared import SharedWindows

pytestmark = pytest.mark.child
RATE = Rate("4/600")
NOBODY = "redis://127.0.0.1:1/0"


@asynccontextmanager
async def connected(url, prefix="test:"):
    cache = SimpleNamespace(url=url)
    config = SimpleNamespace(cache=SimpleNamespace(prefix=prefix))
    windows = SharedWindows(SimpleNamespace(cache=cache, config=config, log=get_logger("limits")))
    await windows.connect()
    yield windows
    await windows.close()


async def allowed(windows, caller, tries, rate=RATE):
    return sum([not await windows.hit(rate, caller) for _ in range(tries)])


async def test_two_processes_have_one_window(cache_server_url):
    async with connected(cache_server_url, "two:") as one, connected(cache_server_url, "two:") as two:
        assert await allowed(one, "ann", 3) == 3
        assert await allowed(two, "ann", 3) == 1
        assert await allowed(two, "bob", 9) == 4
        assert 590 < await one.hit(RATE, "ann") <= 600


async def test_calls_at_the_same_time_are_counted_exactly(cache_server_url):
    async with connected(cache_server_url, "race:") as one, connected(cache_server_url, "race:") as two:
        waits = await asyncio.gather(*((one, two)[n % 2].hit(RATE, "ann") for n in range(60)))
        assert sum(not wait for wait in waits) == 4


async def test_a_window_moves(cache_server_url):
    async with connected(cache_server_url, "moves:") as windows:
        rate = Rate("2/1")
        assert await allowed(windows, "ann", 5, rate) == 2
        async with asyncio.timeout(20):
            while wait := await windows.hit(rate, "ann"):
                assert wait <= 1
                await asyncio.sleep(wait)


async def test_without_redis_where_one_should_be_half_the_rate_is_left():
    async with connected(NOBODY) as windows:
        assert await allowed(windows, "ann", 10) == 2


async def test_without_any_redis_the_rate_is_whole():
    async with connected(None) as windows:
        assert await allowed(windows, "ann", 10) == 4


async def test_a_redis_that_says_nothing_costs_one_wait_and_is_asked_again_later(monkeypatch):
    heard = 0

    async def listen(reader, writer):
        nonlocal heard
        heard += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server, connected(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0") as windows:
        start = time.monotonic()
        assert await allowed(windows, "ann", 100) == 2
        assert time.monotonic() - start < 3  # one call of 0.6 s, and then none for a while
        assert heard == 1
        monkeypatch.setattr(windows, "_away_until", 0.0)
        await windows.hit(RATE, "ann")
        assert heard == 2


async def test_redis_that_comes_back_counts_again(cache_server_url, monkeypatch):
    monkeypatch.setattr(shared, "PAUSE_S", 0.0)
    async with connected(cache_server_url, "back:") as windows:
        pool, windows._limiter.storage.bridge.storage.connection_pool = (
            windows._limiter.storage.bridge.storage.connection_pool,
            shared.BlockingConnectionPool.from_url(NOBODY),
        )
        assert await allowed(windows, "ann", 10) == 2
        windows._limiter.storage.bridge.storage.connection_pool = pool
        assert await allowed(windows, "ann", 10) == 4
