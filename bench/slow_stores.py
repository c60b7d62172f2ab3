"""A slow cache or database, and one that is a black hole: `python bench/slow_stores.py [--times 3]`, five minutes.

A proxy lies before each. First the kernel's own `Cache` and `MongoRepository` are called ten times a second, in this
process, through: nothing in the way, answers 300 ms late, a black hole for 22 s, and healed. Then a whole
`studio serve` is asked for a story while the cache is a black hole.

Promised: no call of the cache takes longer than 0.6 s, none of the database longer than 2 s;
after five failures the circuit is open and a call costs nothing; a probe every 5 s (1 s for the database); healed, it
is back with the next probe. A request of the server takes at most 5 ms longer while the circuit is open.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import ClientTimeout
from house import House, at_most, caller, told
from slow_proxy import Proxy

from studio import Collection, DatabaseUnavailableError
from studio.cache import Cache
from studio.database.mongo import MongoDatabase
from studio.database.settings import DatabaseSettings
from studio.testing.servers import running

if TYPE_CHECKING:
    from studio.testing.client import Client

Call = Callable[[], Awaitable[bool]]
PACE_S, HOLE_S, LATE_S, SLACK_S, ADDED_MS, CHEAP_MS = 0.1, 22.0, 0.3, 0.1, 5.0, 5.0
TICK_S, PROBE_S = 0.01, 1.0
"""`PROBE_S`: how much later a probe may be on a machine where others work too."""


class Calls:
    """Calls at a steady pace, as (when, seconds, whether it had its answer)."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.late_s = 0.0
        """By how much the timers of this process came too late, summed up: of that no store can be blamed."""
        self.made: list[tuple[float, float, bool]] = []

    async def one(self) -> bool:
        """Call once."""
        began = time.perf_counter()
        good = await self._call()
        self.made.append((began, time.perf_counter() - began, good))
        return good

    async def tick(self) -> None:
        """Sum up how late the loop is, for ever."""
        while True:
            due = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            self.late_s += max(0.0, time.perf_counter() - due)

    async def go_on(self, seconds: float) -> list[tuple[float, float, bool]]:
        """Call for so long, one after the other; return what was made."""
        first, end = len(self.made), time.perf_counter() + seconds
        while time.perf_counter() < end:
            await self.one()
            await asyncio.sleep(PACE_S)
        return self.made[first:]

    async def together(self, count: int) -> float:
        """Call so often at once; return the longest in seconds."""
        first = len(self.made)
        await asyncio.gather(*(self.one() for _ in range(count)))
        return max(seconds for _, seconds, _ in self.made[first:])


async def through(name: str, calls: Calls, proxy: Proxy, most_s: float, pause_s: float) -> dict[str, bool]:
    """Put one store through all modes; return what was kept."""
    ticker = asyncio.create_task(calls.tick())
    await calls.go_on(0.5)
    clear = await calls.go_on(3)
    proxy.delay_s = LATE_S
    late = await calls.go_on(6)
    proxy.delay_s = 0.0
    await asyncio.sleep(pause_s + 1)
    await calls.go_on(2)
    proxy.hole = True
    dark = await calls.go_on(HOLE_S)
    proxy.hole, healed = False, time.perf_counter()
    async with asyncio.timeout(60):
        while not await calls.one():
            await asyncio.sleep(PACE_S)
    back = time.perf_counter() - healed
    await calls.go_on(1)
    proxy.hole = True
    at_once = await calls.together(200)
    proxy.hole = False
    ticker.cancel()
    print(f"{name}: the machine let this process wait {calls.late_s:.1f} s in all")
    return judged(name, (clear, late, dark), (back, at_once), most_s, pause_s)


def judged(
    name: str,
    modes: tuple[list[tuple[float, float, bool]], ...],
    ends: tuple[float, float],
    most_s: float,
    pause_s: float,
) -> dict[str, bool]:
    """Print what one store showed; return what was kept."""
    clear, late, dark = modes
    waited = [(at, seconds) for at, seconds, _ in dark if seconds > most_s / 2]
    free = [seconds * 1000 for _, seconds, _ in dark if seconds <= most_s / 2]
    probes = [later - sooner for (sooner, _), (later, _) in pairwise(waited[4:])]
    longest = max(seconds for _, seconds, _ in late + dark)
    shown = ", ".join(f"{probe:.1f}" for probe in probes)
    print(f"{name}: clear {statistics.median(s for _, s, _ in clear) * 1000:.1f} ms;", end=" ")
    print(f"300 ms late {statistics.median(s for _, s, _ in late) * 1000:.0f} ms,", end=" ")
    print(f"{sum(good for _, _, good in late)} of {len(late)} answered;", end=" ")
    print(
        f"black hole: {len(waited)} waited, longest {longest:.2f} s; the others {at_most(free, 99):.3f} ms (p99);"
    )
    print(
        f"  probes after {shown} s; back {ends[0]:.2f} s after healing; of 200 at once the longest {ends[1]:.2f} s"
    )
    return {
        f"{name}: no call over {most_s} s": max(longest, ends[1]) <= most_s + SLACK_S,
        f"{name}: open after 5 failures": not any(good for _, _, good in dark[5:])
        and dark[5][1] <= most_s / 2,
        f"{name}: {CHEAP_MS:.0f} ms at most while open": at_most(free, 99) <= CHEAP_MS,
        f"{name}: a probe each {pause_s:.0f} s": all(
            pause_s <= probe <= pause_s + most_s + PACE_S + PROBE_S for probe in probes
        ),
        f"{name}: back with the next probe": ends[0] <= pause_s + most_s + PROBE_S,
    }


async def cache_alone(folder: Path) -> dict[str, bool]:
    """The kernel's cache."""
    with running("cache", folder) as server:
        async with Proxy(server.port) as proxy:
            cache = Cache(f"redis://127.0.0.1:{proxy.port}")

            async def call() -> bool:
                return await cache.set("k", b"v")

            try:
                return await through("cache", Calls(call), proxy, 0.6, 5.0)
            finally:
                proxy.hole = False
                await cache.close()


async def database_alone(folder: Path) -> dict[str, bool]:
    """The kernel's repository."""
    with running("database", folder) as server:
        async with Proxy(server.port) as proxy:
            url = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
            database = MongoDatabase(url, DatabaseSettings())
            database.declare([("bench", Collection("things"))])

            async def call() -> bool:
                try:
                    await database["things"].get("x")
                except DatabaseUnavailableError:
                    return False
                return True

            try:
                return await through("database", Calls(call), proxy, 2.0, 1.0)
            finally:
                proxy.hole = False
                await database.close()


async def ask(client: Client, path: str, count: int) -> list[float]:
    """Ask so often, one after the other; return the ms of each."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        answer = await client.get(path, timeout=ClientTimeout(20))
        assert answer.status == 200, answer  # noqa: PLR2004 - OK
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.02)
    return took


async def server_alone(times: int) -> dict[str, bool]:
    """A whole server, calm and with the cache gone dark, in turn; the medians of the pairs count."""
    async with House.of(STUDIO_PLUGINS__DISABLED="streaq") as house, Proxy(house.cache.port) as proxy:
        house.environ["STUDIO_CACHE__URL"] = f"redis://127.0.0.1:{proxy.port}"
        api = house.api("server")
        await api.start()
        async with caller(api) as client:
            project = (await client.post("/api/workbench/projects", {"name": "Slow"})).json["id"]
            path, added = f"/api/workbench/projects/{project}", list[float]()
            for _ in range(times):
                await ask(client, path, 20)
                calm = await ask(client, path, 100)
                proxy.hole = True
                await ask(client, path, 20)  # until the circuit is open
                dark = await ask(client, path, 100)
                proxy.hole = False
                await asyncio.sleep(7)
                again = await ask(client, path, 100)
                usual = statistics.median(calm + again)
                added.append(statistics.median(dark) - usual)
                shown = f"cache dark {statistics.median(dark):.1f} ms, longest {max(dark):.0f} ms"
                print(f"server: median {usual:.1f} ms, {shown}")
    median = statistics.median(added)
    print(f"added by an open circuit: {median:.1f} ms in the median ({min(added):.1f} to {max(added):.1f})")
    return {f"a request takes at most {ADDED_MS:.0f} ms longer": median <= ADDED_MS}


async def main(times: int) -> int:
    """Run and print; return 1 when a promise was not kept."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        for name in ("cache", "database"):
            (Path(folder) / name).mkdir()
        kept = await cache_alone(Path(folder) / "cache")
        kept |= await database_alone(Path(folder) / "database")
    kept |= await server_alone(times)
    return told(kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    sys.exit(asyncio.run(main(parser.parse_args().times)))
