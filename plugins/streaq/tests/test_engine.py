from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest

from studio.testing import servers
from studio_streaq.engine import QuietWorker, StreaqDoorbell, _dump
from studio_streaq.plugin import Plugin
from studio_streaq.settings import StreaqSettings

pytestmark = [
    pytest.mark.child,
    # streaq and coredis leave their in-memory streams to the collector when a connection is lost
    pytest.mark.filterwarnings(
        "ignore:Exception ignored.*MemoryObject:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(autouse=True)
def _collected():
    """Have what a lost connection leaves behind collected here, not in somebody else's test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    try:
        with servers.running("cache", tmp_path_factory.mktemp("valkey")) as server:
            yield server
    except servers.ServerMissingError as error:
        pytest.skip(str(error))


class Steps:
    """Notes what is rung for; `until(n)` waits for the n-th."""

    def __init__(self):
        self.seen: list[str] = []
        self.changed = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None

    async def __call__(self, job_id):
        self.seen.append(job_id)
        self.changed.set()
        if self.gate:
            await self.gate.wait()

    async def until(self, count, deadline_s=30.0):
        async with asyncio.timeout(deadline_s):
            while len(self.seen) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def steps():
    return Steps()


@contextlib.asynccontextmanager
async def engine(url, step, queue="q", concurrency=4, **settings):
    bell = StreaqDoorbell(url, f"test:{queue}", StreaqSettings(**settings), concurrency=concurrency)
    await bell.start(step)
    try:
        yield bell
    finally:
        await bell.stop()


async def up(bell):
    async with asyncio.timeout(30):
        while bell._worker is None or not bell._worker.up.is_set():
            await asyncio.sleep(0.01)


async def test_ids_are_carried(valkey, steps):
    async with engine(valkey.url, steps, "carry") as bell:
        await up(bell)
        for n in range(50):
            await bell.enqueue(f"job{n}")
        await steps.until(50)
    assert sorted(steps.seen) == sorted(f"job{n}" for n in range(50))


async def test_one_process_rings_and_another_works(valkey, steps):
    async with engine(valkey.url, None, "split") as producer, engine(valkey.url, steps, "split"):
        await up(producer)
        await producer.enqueue("job1")
        await steps.until(1)
    assert steps.seen == ["job1"]


@pytest.mark.parametrize("delay_s", [0.05, 1.2])
async def test_delayed_ring_comes_after_its_delay(valkey, steps, delay_s):
    async with engine(valkey.url, steps, "delay") as bell:
        await up(bell)
        start = time.monotonic()
        await bell.enqueue("job1", delay_s)
        await steps.until(1)
        assert delay_s - 0.01 <= time.monotonic() - start < delay_s + 15


async def test_same_id_may_ring_twice(valkey, steps):
    async with engine(valkey.url, steps, "twice") as bell:
        await up(bell)
        await bell.enqueue("job1")
        await bell.enqueue("job1")
        await steps.until(2)
    assert steps.seen == ["job1", "job1"]


async def test_higher_priority_overtakes(valkey, steps):
    steps.gate = asyncio.Event()
    async with engine(valkey.url, steps, "priority", concurrency=1) as bell:
        await up(bell)
        await bell.enqueue("busy")
        await steps.until(1)
        for n in range(5):
            await bell.enqueue(f"low{n}", 0.0, -1)
        await bell.enqueue("high", 0.0, 1)
        steps.gate.set()
        await steps.until(7)
    assert "high" in steps.seen[1:4]


async def test_steps_at_a_time_are_limited(valkey, steps):
    steps.gate = asyncio.Event()
    async with engine(valkey.url, steps, "limit", concurrency=3) as bell:
        await up(bell)
        for n in range(10):
            await bell.enqueue(f"job{n}")
        await steps.until(3)
        await asyncio.sleep(0.1)
        assert len(steps.seen) == 3
        steps.gate.set()
        await steps.until(10)


async def test_killed_valkey_costs_no_error_and_the_worker_comes_back(tmp_path, steps):
    server = servers.start_cache(tmp_path)
    try:
        async with engine(server.url, steps, "killed") as bell:
            await up(bell)
            await bell.enqueue("before")
            await steps.until(1)
            server.stop()
            start = time.monotonic()
            for n in range(20):
                await bell.enqueue(f"lost{n}")
            assert time.monotonic() - start < 10, (
                "ten waits of the twenty that it would be without the breaker"
            )
            server = servers.start_cache(tmp_path, server.port)
            async with asyncio.timeout(60):
                while len(steps.seen) < 2:
                    await bell.enqueue("after")
                    with contextlib.suppress(TimeoutError):
                        await steps.until(2, deadline_s=0.2)
    finally:
        server.stop()
    assert steps.seen[0] == "before"
    assert steps.seen[1].startswith(("after", "lost"))


async def test_valkey_that_is_away_at_the_start_is_waited_for(tmp_path, steps):
    port = servers.free_port()
    async with engine(f"redis://127.0.0.1:{port}", steps, "late") as bell:
        await bell.enqueue("lost")
        server = servers.start_cache(tmp_path, port)
        try:
            await up(bell)
            await bell.enqueue("job1")
            await steps.until(1)
        finally:
            await bell.stop()
            server.stop()
    assert steps.seen == ["job1"]


async def test_valkey_that_never_answers_costs_one_short_wait(steps):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with engine(url, steps, "silent") as bell:
            start = time.monotonic()
            for n in range(50):
                await bell.enqueue(f"job{n}")
            assert time.monotonic() - start < 10, "fifty waits are 25 s"
            await bell.stop()
            assert time.monotonic() - start < 20


async def test_ring_through_a_hanging_valkey_gives_up_and_then_does_not_wait(valkey, steps):
    async with engine(valkey.url, steps, "hang") as bell:
        await up(bell)

        class Hanging:
            def enqueue(self, job_id):
                return self

            def start(self, **options):
                return asyncio.Event().wait()

        bell._task = Hanging()
        start = time.monotonic()
        for n in range(50):
            await bell.enqueue(f"job{n}")
        assert 0.4 < time.monotonic() - start < 10, "fifty waits are 25 s"


async def test_stop_lets_a_short_step_end(valkey, steps):
    ended = []

    async def step(job_id):
        await steps(job_id)
        await asyncio.sleep(0.3)
        ended.append(job_id)

    async with engine(valkey.url, step, "short") as bell:
        await up(bell)
        await bell.enqueue("job1")
        await steps.until(1)
        await bell.stop()
    assert ended == ["job1"]


async def test_stop_cuts_a_long_step_and_another_worker_gets_its_ring(valkey, steps):
    steps.gate = asyncio.Event()
    async with engine(valkey.url, steps, "long", idle_s=1.0, stop_s=0.2) as bell:
        await up(bell)
        await bell.enqueue("job1")
        await steps.until(1)
        async with asyncio.timeout(15):  # the step itself would never end
            await bell.stop()
    again = Steps()
    async with engine(valkey.url, again, "long", idle_s=1.0):
        await again.until(1)
    assert again.seen == ["job1"]


async def test_nothing_is_left_in_valkey_after_the_work(valkey, steps):
    from redis.asyncio import Redis

    async with engine(valkey.url, steps, "clean") as bell:
        await up(bell)
        for n in range(10):
            await bell.enqueue(f"job{n}")
        await steps.until(10)
    client = Redis.from_url(valkey.url)
    keys = [key.decode() async for key in client.scan_iter("streaq:test:clean*")]
    lengths = [await client.xlen(key) for key in keys if await client.type(key) == b"stream"]
    await client.aclose()
    assert not [key for key in keys if ":task:data" in key or ":task:results" in key]
    assert sum(lengths) == 0


async def test_worker_touches_no_signal(valkey, steps):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with engine(valkey.url, steps, "signals") as bell:
        await up(bell)
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


CHILD = """
import asyncio, signal, sys
from studio_streaq.engine import StreaqDoorbell
from studio_streaq.settings import StreaqSettings

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async def step(job_id): await asyncio.sleep(3600)
    bell = StreaqDoorbell(sys.argv[1], "test:child", StreaqSettings(), concurrency=2)
    await bell.start(step)
    while not (bell._worker and bell._worker.up.is_set()): await asyncio.sleep(0.01)
    await bell.enqueue("job1")
    print("up", flush=True)
    await stop.wait()
    await bell.stop()
    print("stopped", flush=True)

asyncio.run(main())
"""


def test_process_that_gets_sigterm_ends(valkey):
    command = [sys.executable, "-c", textwrap.dedent(CHILD), valkey.url]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=15)  # the step would go on for an hour
    finally:
        child.kill()
    assert (output, child.returncode) == ("stopped\n", 0)


async def test_error_that_streaq_stores_is_text():
    assert _dump({"r": ValueError("odd")}) == b'{"r":"odd"}'


async def test_task_is_registered_without_retries_results_or_uniqueness(steps):
    bell = StreaqDoorbell("redis://127.0.0.1:1", "q", StreaqSettings(), concurrency=2)
    bell._step = steps
    worker = bell._build()
    task = worker.registry["step"]
    assert isinstance(worker, QuietWorker)
    assert (task.max_tries, task.ttl, task.unique, task.timeout, task.crontab) == (None, 0, False, None, None)
    assert (worker.handle_signals, worker.idle_timeout, worker.concurrency) == (False, 10_000, 2)


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:1"])
async def test_plugin_offers_the_engine_where_there_is_a_redis(url):
    config = SimpleNamespace(cache=SimpleNamespace(prefix="studio:"), jobs=SimpleNamespace(concurrency=3))
    ctx = SimpleNamespace(
        cache=SimpleNamespace(url=url), config=config, settings=lambda model: model(queue="night")
    )
    backend = Plugin().job_backend(ctx)
    if url is None:
        assert backend is None
    else:
        assert (backend._queue, backend._concurrency) == ("studio:night", 3)
