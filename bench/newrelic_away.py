"""What a New Relic that is away does to requests: `python bench/newrelic_away.py [--pairs 8]`, half a minute a pair.

One server forwards errors to a collector in this process, and logs twenty errors a second. It is asked fifty times a
second, in windows of equal length that come in turn: the collector answers, it is a black hole, it answers, its port
is closed. Each bad window is compared with the good one before it; so are, as a control, two good windows one after
the other, which show what the machine itself makes of a difference of nothing. The queue is let empty between.

Promised: the median of the differences of the p99 is at most 1 ms, beyond what the controls differ by.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web
from house import House, at_most, caller, told

if TYPE_CHECKING:
    from house import Api

    from studio.testing.client import Client

PER_S, ERRORS_PER_S, MORE_MS, SETTLE_S = 50, 20, 1.0, 2.0
KINDS = ("answers", "hole", "closed")
REFUSED: list[bool] = []
"""Of every request, whether it got anything but a 200: on a machine that is too busy the database is late."""
PLUGIN = """
    from studio import Manifest, Model, Route, SIGNED_IN, StudioHooks, hookimpl

    class Logged(Model):
        ok: bool

    async def log_error(request):
        request.ctx.log.error("bench_error", number=7, why="x" * 300)
        return {"ok": True}

    class Plugin(StudioHooks):
        manifest = Manifest("bench")
        @hookimpl
        def register_routes(self, ctx):
            return [Route("POST", "/bench/error", log_error, SIGNED_IN, returns=Logged)]
"""


class Collector:
    """A collector that answers, swallows, or is not there."""

    def __init__(self) -> None:
        self.taken = 0
        self._hole = False
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._free = asyncio.Event()

    async def be(self, kind: str) -> int:
        """Become one of `KINDS`; return the port."""
        if self._runner and (kind == "closed" or self._hole != (kind == "hole")):
            self._free.set()
            await self._runner.cleanup()
            self._runner = None
        self._hole = kind == "hole"
        if kind != "closed" and self._runner is None:
            self._free.clear()
            app = web.Application(client_max_size=10_000_000)
            app.router.add_post("/{path:.*}", self._take)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
            self._port = self._runner.addresses[0][1]
        return self._port

    async def _take(self, request: web.Request) -> web.Response:
        await request.read()
        if self._hole:
            await self._free.wait()
        self.taken += 1
        return web.json_response({"requestId": "x"}, status=202)


async def window(client: Client, api: Api, path: str, seconds: float) -> tuple[float, float]:
    """Ask at a steady pace, and log errors beside it; return the p99 and the server's CPU a request, in ms."""
    took, spent = list[float](), api.cpu_s()

    async def one(number: int) -> None:
        if number % (PER_S // ERRORS_PER_S) == 0:
            await client.post("/bench/error")
        began = time.perf_counter()
        answer = await client.get(path)
        took.append((time.perf_counter() - began) * 1000)
        REFUSED.append(answer.status != 200)  # noqa: PLR2004 - OK

    tasks = []
    for number in range(int(seconds * PER_S)):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(1 / PER_S)
    await asyncio.gather(*tasks)
    return at_most(took, 99), (api.cpu_s() - spent) * 1000 / len(took)


async def figures(client: Client) -> str:
    """Return what the plugin counts."""
    found = (await client.get("/metrics")).bytes.decode()
    lines = [line for line in found.splitlines() if line.startswith("studio_newrelic_")]
    return ", ".join(line.removeprefix("studio_newrelic_") for line in lines)


async def compared(client: Client, api: Api, collector: Collector, pairs: int, seconds: float) -> Any:
    """Return {kind: (difference of the p99, of the CPU a request) in ms, one per pair}; `answers` is the control."""
    path = "/api/workbench/projects"
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for pair in range(pairs):
        for kind in KINDS[pair % 3 :] + KINDS[: pair % 3]:
            await collector.be("answers")
            await window(client, api, path, SETTLE_S)
            before = await window(client, api, path, seconds)
            await collector.be(kind)
            await window(client, api, path, SETTLE_S)
            late, cpu = await window(client, api, path, seconds)
            found[kind].append((late - before[0], cpu - before[1]))
        shown = ", ".join(f"{kind} {values[-1][0]:+.1f}" for kind, values in found.items())
        print(f"pair {pair + 1}: p99 {before[0]:.1f} ms; {shown}; {await figures(client)}", flush=True)
    return found


async def main(pairs: int, seconds: float) -> int:
    """Run and print; return 1 when the promise was not kept."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, windows of {seconds:g} s")
    collector = Collector()
    port = await collector.be("answers")
    more = {
        "STUDIO_NEWRELIC__LICENSE_KEY": "k" * 40,
        "STUDIO_NEWRELIC__COLLECTOR": f"http://127.0.0.1:{port}",
        "STUDIO_NEWRELIC__FLUSH_S": "1",
        "STUDIO_NEWRELIC__QUEUE": "200",
        "STUDIO_AUTH__ADMINS": "ann@example.org",
    }
    async with House.of(**more) as house:
        house.install("bench", PLUGIN)
        api: Api = house.api("server")
        await api.start()
        async with caller(api) as client:
            await client.post("/api/workbench/projects", {"name": "Away"})
            found = await compared(client, api, collector, pairs, seconds)
    await collector.be("closed")
    late = {kind: [one[0] for one in values] for kind, values in found.items()}
    for kind, values in late.items():
        name = "control, twice good" if kind == "answers" else kind
        cpu = statistics.median(one[1] for one in found[kind])
        print(f"{name}: p99 {statistics.median(values):+.2f} ms in the median", end=" ")
        print(f"({min(values):+.1f} to {max(values):+.1f}), CPU a request {cpu:+.2f} ms")
    control = max(0.0, statistics.median(late["answers"]))
    kept = {
        f"{kind}: p99 +{MORE_MS:.0f} ms at most": statistics.median(late[kind]) - control <= MORE_MS
        for kind in ("hole", "closed")
    }
    print(f"{len(REFUSED)} requests, {sum(REFUSED)} of them refused")
    return told(kept | {"errors reached the collector": collector.taken > 0})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.pairs, options.seconds)))
