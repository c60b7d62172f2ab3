"""What a broken vendor does to Studio and to the other vendors: `python bench/provider_faults.py [--runs 5]`.

Twelve ways to fail (`studio.testing.vendor.FaultMode`), 50 jobs each, on one provider whose server is a process of its
own; another provider answers 50 calls a second meanwhile. Per run: how the jobs ended, the longest call against its
deadline, the growth of this process's memory (against a first, unmeasured round, which imports and fills pools), and
the p99 of the other provider against that of as many seconds before. The median of the runs' ratios counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

from aiohttp import ClientSession, web

from studio import (
    Actor,
    ChatMessage,
    ChatRequest,
    Doc,
    Generation,
    JobKind,
    JobOrder,
    PluginContext,
    ProviderSpec,
)
from studio.jobs import JOBS_COLLECTION, Jobs, JobsSettings
from studio.providers import BoundProvider, Providers
from studio.testing import InMemoryDatabase
from studio.testing.conformance_world import Ledger
from studio.testing.kit import HttpClients, Metrics, Services, Settings, get_logger
from studio.testing.vendor import FakeVendor, FaultMode
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

JOBS, PER_S, CALM_S, DEADLINE_S, JOB_S = 50, 50, 10.0, 2.0, 6.0
MORE_MIB, SLOWER, LATE_S = 20, 1.10, 1.0
MODES: tuple[FaultMode, ...] = get_args(FaultMode)
ENDED = ("succeeded", "failed", "cancelled")


class Vendor(FakeVendor):
    """A chat server; `/fail/<mode>` breaks the calls of the broken vendor from then on."""

    def routes(self) -> Iterable[web.RouteDef]:
        """Answer chats under two addresses."""
        chats = [web.post(f"/{name}/v1/chat/completions", self._chat) for name in ("well", "broken")]
        return [*chats, web.post("/fail/{mode}", self._break_now)]

    async def _break_now(self, request: web.Request) -> web.Response:
        self._plans.clear()
        self.calls.clear()
        self.fail(request.match_info["mode"], "^/broken/", 10**9)  # type: ignore[arg-type]  # one of MODES
        return web.Response()

    async def _chat(self, _: web.Request) -> web.Response:
        self.calls.clear()
        message = {"role": "assistant", "content": "A lamp."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "created": 1}
        return web.json_response(answer | {"choices": [choice], "usage": usage})


async def serve_vendor() -> None:
    """Be the vendor's process: print the address, end with the input."""
    async with Vendor().serving() as vendor:
        print(vendor.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def rss_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def chat(job_id: str = "x") -> ChatRequest:
    return ChatRequest(job_id=job_id, model="m", messages=(ChatMessage(role="user", text="A lamp?"),))


class Platform:
    """Jobs in memory, and the plugin `openai` before both vendors."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.longest = url, 0.0
        services = self.services = Services()
        services.settings, services.metrics = Settings(), Metrics()
        services.http = HttpClients(services.settings, services.metrics)
        self.database, ledger = InMemoryDatabase(), Ledger()
        self.database.declare([("studio", JOBS_COLLECTION)])
        config = JobsSettings(fallback=False, concurrency=16, scan_s=0.2, retry_s=0.2)
        self.providers = Providers(SimpleNamespace(jobs=config), ledger)  # type: ignore[arg-type]  # all that it reads
        for name in ("well", "broken"):
            chosen = {"base_url": f"{url}/{name}/v1", "allow_private": True, "chat_models": ["m"]}
            settings = OpenaiSettings(**chosen, work_dir=folder, chat_deadline_s=DEADLINE_S)
            ctx = PluginContext("openai", services, settings, get_logger("bench"))
            spec = ProviderSpec(
                name, "chat", "studio_openai.compatible:OpenaiCompatibleChat", deadline_s=DEADLINE_S + 0.5
            )
            self.providers.register(name, ctx, [spec])
        self.jobs = Jobs(self.database, ledger, self.providers, config)  # type: ignore[arg-type]  # as above
        kind = JobKind("bench.chat", "Ask", "chat", self._request, self._accept, deadline_s=JOB_S)
        self.jobs.register([kind], "bench")
        self._time(self.providers.get("chat", "broken"))

    def _time(self, bound: BoundProvider) -> None:
        submit = bound.submit

        async def timed(request: Any) -> Generation:
            began = time.perf_counter()
            try:
                return await submit(request)
            finally:
                self.longest = max(self.longest, time.perf_counter() - began)

        bound.submit = timed  # type: ignore[method-assign]  # only here

    async def _request(self, _: Doc) -> ChatRequest:
        return chat()

    async def _accept(self, *_: Any) -> Doc:
        return {"result_asset_ids": []}

    async def break_with(self, mode: str) -> Counter[str]:
        """Order jobs of the broken vendor, wait until all have ended, and count how."""
        async with ClientSession() as session:
            await session.post(f"{self.url}/fail/{mode}")
        orders = [
            JobOrder("bench.chat", "p", {"type": "shot", "id": str(n)}, provider="broken")
            for n in range(JOBS)
        ]
        ids = [job["_id"] for job in await self.jobs.submit_many(Actor("ada"), orders)]
        while True:
            found = [await self.jobs.get(job_id) for job_id in ids]
            if all(job["state"] in ENDED for job in found):
                return Counter(job["error"]["code"] if job.get("error") else job["state"] for job in found)
            await asyncio.sleep(0.1)

    async def ask_well(self, until: asyncio.Event | None = None) -> float:
        """Return the p99 in ms of steady calls of the other vendor, for CALM_S or until an event."""
        bound, took, tasks = self.providers.get("chat", "well"), list[float](), set[asyncio.Task[None]]()

        async def one() -> None:
            began = time.perf_counter()
            await bound.submit(chat())
            took.append((time.perf_counter() - began) * 1000)

        end = time.monotonic() + CALM_S
        while not until.is_set() if until else time.monotonic() < end:
            tasks.add(task := asyncio.create_task(one()))
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(1 / PER_S)
        await asyncio.gather(*tasks)
        return statistics.quantiles(took, n=100)[98]


async def one_run(platform: Platform, *, tell: bool) -> float:
    """Return the ratio of the other provider's p99 while this one is broken in every way."""
    calm, over = await platform.ask_well(), asyncio.Event()
    busy = asyncio.create_task(platform.ask_well(over))
    for mode in MODES:
        began = time.monotonic()
        outcomes = await platform.break_with(mode)
        if tell:
            print(f"  {mode:10} {dict(outcomes)} in {time.monotonic() - began:.1f} s")
    over.set()
    slow = await busy
    print(f"  p99 of the other provider {calm:.1f} ms, meanwhile {slow:.1f} ms ({slow / calm:.2f} x)")
    return slow / calm


async def measure(runs: int) -> int:
    """Measure and print; return 1 when a promise was not kept."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {runs} runs")
    command = (sys.executable, __file__, "--vendor")
    child = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1)
    assert child.stdout
    assert child.stdin
    url = (await child.stdout.readline()).decode().strip()
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        platform = Platform(url, Path(folder))
        await platform.jobs.start()
        await one_run(platform, tell=True)
        before, platform.longest = rss_mib(), 0.0
        ratios = [await one_run(platform, tell=False) for _ in range(runs)]
        grown, over = rss_mib() - before, platform.longest - DEADLINE_S - 0.5
        await platform.jobs.stop()
        await platform.services.http.close()
    child.stdin.close()
    await child.wait()
    ratio = statistics.median(ratios)
    print(json.dumps({"ratio": round(ratio, 3), "ratios": [round(r, 3) for r in ratios]}))
    print(f"memory {grown:+.1f} MiB (target +{MORE_MIB})")
    print(f"longest call {over:+.2f} s over its deadline (target {LATE_S:g})")
    print(f"other provider's p99 {ratio:.2f} x (target {SLOWER:g})")
    return int(grown > MORE_MIB or over > LATE_S or ratio > SLOWER)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--vendor", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.exit(asyncio.run(serve_vendor() if given.vendor else measure(given.runs)))
