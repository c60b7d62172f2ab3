"""What a broken vendor does to Studio and to the other vendors: `python bench/provider_faults.py [--runs 5]`.

Processes: `studio serve` as installed (every plugin, the embedded database and cache as its children, settings as
they come), the broken vendor, the healthy vendor, and this one, which asks over HTTP. With two cores or more the server
has the first for itself. 5 runs take about half an hour.

Twelve ways to fail (`studio.testing.vendor.FaultMode`). In a faulty window 50 jobs are ordered of a provider whose
vendor fails so, in a quiet window 50 jobs of one whose vendor is healthy. Both windows of a mode last as long as its
jobs took in the first round, which is not measured (it imports and fills pools), and come in turn: quiet, faulty,
quiet, faulty. In both, another provider is asked `--rate` times a second through the server (50 in the promise; fewer
where the machine has other work) and gets one job a second. Jobs are counted once a second.

Per run, over its twelve pairs: the p99 of the other provider's calls in faulty windows divided by that in quiet ones;
the median of the runs' ratios counts. Beside it the p99 without any job, the longest time from the order to the end of
the other provider's jobs, and the processor's seconds of the server. Memory is the server's VmRSS after all runs less
that after the first round, as it is, and after `gc.collect` and `malloc_trim(0)`, without what the allocator merely
keeps; the first counts. Late is by how much a call passed the total deadline of its provider.
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
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from studio.cli.server import own_server
from studio.testing.installed import offer
from studio.testing.vendor import FakeVendor, FaultMode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

HERE = Path(__file__).resolve().parent
JOBS, IDLE_S, LONGEST_S = 50, 10.0, 60.0
MORE_MIB, SLOWER, LATE_S = 20, 1.10, 1.0
MODES: tuple[FaultMode, ...] = get_args(FaultMode)


class Vendor(FakeVendor):
    """A chat server for all three names; `/fail/<mode>` breaks the calls of `broken` from then on."""

    def routes(self) -> Iterable[web.RouteDef]:
        """Answer chats under three addresses."""
        chats = [web.post(f"/{name}/v1/chat/completions", self._chat) for name in ("well", "calm", "broken")]
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
        answer = {
            "id": f"c-{time.perf_counter_ns()}",
            "object": "chat.completion",
            "model": "m",
            "created": 1,
        }
        return web.json_response(answer | {"choices": [choice], "usage": usage})


async def serve_vendor() -> None:
    """Be a vendor's process: print the address, end with the input."""
    async with Vendor().serving() as vendor:
        print(vendor.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def vendor_process() -> AsyncIterator[str]:
    """Yield the address of a vendor in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--vendor", stdin=pipe, stdout=pipe
    )
    assert child.stdin
    assert child.stdout
    try:
        yield (await child.stdout.readline()).decode().strip()
    finally:
        child.stdin.close()
        await child.wait()


def install_plugin(folder: Path) -> None:
    """Make the bench plugin an installed distribution of the server's process."""
    site = folder / "site"
    offer(site, "bench", "faults_plugin:Plugin", prefixes=["/bench"], distribution="studio-bench")
    os.environ["PYTHONPATH"] = f"{site}{os.pathsep}{HERE}"


def family() -> dict[int, list[int]]:
    """Return the children of each process."""
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(path.parent.name))
    return found


def pin() -> int:
    """Give the server the first core, everybody else the others; return the server's process id."""
    children, others = family(), set(range(1, os.cpu_count() or 1))
    server, todo = 0, [os.getpid()]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        serves = b"studio\0serve" in Path(f"/proc/{pid}/cmdline").read_bytes()
        server = pid if serves else server
        for task in Path(f"/proc/{pid}/task").iterdir() if others else ():
            os.sched_setaffinity(int(task.name), {0} if serves else others)
    return server


def rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def cpu_s(pid: int) -> float:
    """Return the user and system seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


class Client:
    """Drives one server."""

    def __init__(self, session: ClientSession, base: str, broken: str, server: int, rate: int) -> None:
        self._server, self._rate, self.refused = server, rate, 0
        self._session, self._base, self._broken = session, f"{base}/bench", broken
        self.lengths: dict[str, float] = {}
        """Seconds of each mode's windows."""

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        async with self._session.request(method, self._base + path, json=body) as answer:
            text = await answer.text()
            assert answer.ok, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None

    async def ask(self, took: list[float]) -> None:
        """Ask the healthy provider, and note the ms, those of a refusal too."""
        began = time.perf_counter()
        async with self._session.post(f"{self._base}/ask") as answer:
            await answer.read()
        self.refused += not answer.ok
        took.append((time.perf_counter() - began) * 1000)

    async def asked(self, seconds: float, took: list[float], batches: list[str] | None = None) -> None:
        """Ask the healthy provider at a steady rate, and order of it a job a second where `batches` are noted."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(seconds * self._rate)):
                await asyncio.sleep(began + number / self._rate - time.perf_counter())
                tasks.create_task(self.ask(took))
                if batches is not None and number % self._rate == self._rate // 2:
                    tasks.create_task(self._order("well", 1, batches))

    async def _order(self, provider: str, count: int, batches: list[str]) -> None:
        ordered = await self.call("POST", "/jobs", {"provider": provider, "count": count})
        batches.append(ordered["batchId"])

    async def finish(self, batch: str, seconds: float = LONGEST_S) -> dict[str, Any]:
        """Return how the jobs of a batch ended, asking once a second."""
        end = time.monotonic() + seconds
        while (found := await self.call("GET", f"/jobs/{batch}"))["open"]:
            assert time.monotonic() < end, f"{found['open']} jobs are open after {seconds} s: {found}"
            await asyncio.sleep(1)
        return dict(found)

    async def window(self, mode: FaultMode | None, seconds: float, took: list[float]) -> dict[str, Any]:
        """Return how the jobs ended, with the longest time of a job of the other provider as `other_s`."""
        if mode is not None:
            async with self._session.post(f"{self._broken}/fail/{mode}") as answer:
                assert answer.ok
        others, mine, spent = list[str](), list[str](), cpu_s(self._server)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.asked(seconds, took, others))
            await self._order("broken" if mode else "calm", JOBS, mine)
            found = await self.finish(mine[0])
        ends = [await self.finish(batch) for batch in others]
        slowest = max((end["worstS"] for end in ends), default=0.0)
        return found | {"other_s": slowest, "cpu_s": cpu_s(self._server) - spent}

    async def first_round(self) -> None:
        """Fail in every way once, and learn how long that takes."""
        await self.window(None, 2, [])
        for mode in MODES:
            found = await self.window(mode, 2, [])
            self.lengths[mode] = float(int(found["worstS"] + 2.5))
            print(
                f"  {mode:10} {found['ended']} in {found['worstS']:.1f} s, cpu {found['cpu_s']:.1f}",
                flush=True,
            )

    async def run(self, number: int) -> float:
        """Return the ratio of the two p99."""
        idle, quiet, faulty = list[float](), list[float](), list[float]()
        await self.asked(IDLE_S, idle)
        calm, bad = list[dict[str, Any]](), list[dict[str, Any]]()
        for mode in MODES:
            calm.append(await self.window(None, self.lengths[mode], quiet))
            assert calm[-1]["ended"] == {"succeeded": JOBS}, calm
            bad.append(await self.window(mode, self.lengths[mode], faulty))
        p99 = [statistics.quantiles(took, n=100)[98] for took in (idle, quiet, faulty)]
        slowest = [max(one["other_s"] for one in windows) for windows in (calm, bad)]
        spent = [sum(one["cpu_s"] for one in windows) for windows in (calm, bad)]
        print(
            f"run {number}: p99 {p99[0]:.1f} ms without jobs, quiet {p99[1]:.1f}, faulty {p99[2]:.1f} "
            f"(x {p99[2] / p99[1]:.2f}); slowest job {slowest[0]:.1f} s, {slowest[1]:.1f} s; "
            f"cpu {spent[0]:.1f} s, {spent[1]:.1f} s; memory {rss_mib(self._server):.1f} MiB",
            flush=True,
        )
        return p99[2] / p99[1]


async def measure(runs: int, rate: int) -> int:
    """Measure and print; return 1 when a promise was not kept."""
    print(
        f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {runs} runs, {rate} calls a second"
    )
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="studio-bench-"))
        stack.callback(os.chdir, HERE)
        os.chdir(folder)
        install_plugin(Path(folder))
        os.environ["STUDIO_DATABASE__TIMEOUT_MS"] = (
            "10000"  # a busy machine makes it slow, and is not the question
        )
        os.environ["BENCH_WELL"] = await stack.enter_async_context(vendor_process())
        os.environ["BENCH_BROKEN"] = await stack.enter_async_context(vendor_process())
        base = await stack.enter_async_context(own_server())
        server = pin()
        connector = TCPConnector(limit=0)
        session = ClientSession(timeout=ClientTimeout(60), connector=connector)
        await stack.enter_async_context(session)
        client = Client(session, base, os.environ["BENCH_BROKEN"], server, rate)
        await client.first_round()
        before = await client.call("GET", "/figures")
        ratios = [await client.run(number + 1) for number in range(runs)]
        after = await client.call("GET", "/figures")
    grown = {name: after[name] - before[name] for name in ("rss", "trimmed")}
    ratio = statistics.median(ratios)
    print(f"memory {grown['rss']:+.1f} MiB as it is, {grown['trimmed']:+.1f} trimmed (target +{MORE_MIB}),")
    print(f"  of {before['rss']:.1f} and {before['trimmed']:.1f}; cpu {after['cpuS'] - before['cpuS']:.1f} s")
    print(f"{client.refused} calls of the other provider refused (target 0)")
    print(f"longest call {after['lateS']:+.2f} s over its deadline (target {LATE_S:g})")
    print(
        f"other provider's p99 x {ratio:.2f} in the median ({min(ratios):.2f} to {max(ratios):.2f}; target {SLOWER:g})"
    )
    kept = grown["rss"] <= MORE_MIB and after["lateS"] <= LATE_S and ratio <= SLOWER and not client.refused
    print("kept" if kept else "NOT KEPT")
    return 0 if kept else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rate", type=int, default=50, help="calls of the other provider a second")
    parser.add_argument("--vendor", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.exit(asyncio.run(serve_vendor() if given.vendor else measure(given.runs, given.rate)))
