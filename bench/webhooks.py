"""How soon a vendor's call is acknowledged: `python bench/webhooks.py [--runs 3] [--calls 2000] [--rate 50]`.

A whole Studio, every plugin on, one process, on the embedded database (SecantusDB as a child, w:majority and
journal as always) gets signed calls over loopback from another process: `rate` a second, each timed from when it was
due, so that a slow answer hides nothing. `--rate 0 --at-once 8` sends as many as it takes instead: eight connections,
each with its next call when the last one is answered.

Every call is a new delivery of about 2 KB. One in twenty is about a job that nobody knows, which is asked for again
meanwhile, after 1 s, 2 s, 4 s, …; the others are events without a job. Each is verified by Standard Webhooks and
stored before its 202, and worked on beside. Each run begins with an empty database and 100 calls that are not
counted; STUDIO_WEBHOOKS__… of the environment is passed on.

Prints for each run p50, p99 and worst in ms and calls a second, and the median of the runs. Target: p99 <= 100 ms on
a machine that does nothing else. At the end every acknowledged delivery must be in the inbox, or it fails.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from standardwebhooks.webhooks import Webhook

from studio import ProviderSpec, WebhookCall, WebhookNews, verify_standard_webhook
from studio.app import Studio, running
from studio.plugins.context import PluginContext
from studio.telemetry import get_logger

SECRET = f"whsec_{base64.b64encode(b'b' * 32).decode()}"
TARGET_MS, WARM, ACCEPTED, UNKNOWN = 100.0, 100, 202, 20
PAD = "x" * 1_900


class Vendor:
    """The vendor's class in the server."""

    def __init__(self, ctx: PluginContext) -> None:
        self.ctx = ctx

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        delivery_id = verify_standard_webhook(call, SECRET)
        return WebhookNews(delivery_id=delivery_id, provider_job_id=json.loads(call.body)["job"])


async def serve() -> None:
    """Be the server: print the port and, when the input ends, how many calls the inbox holds."""
    environ = {"STUDIO_ENV": "development", "STUDIO_LOGGING__LEVEL": "error", "PATH": os.environ["PATH"]}
    environ |= {name: value for name, value in os.environ.items() if name.startswith("STUDIO_WEBHOOKS__")}
    studio = Studio(environ=environ)
    async with running(studio):
        ctx = PluginContext("bench", studio.services, None, get_logger("bench"))
        spec = ProviderSpec("bench", "image", "webhooks_bench:Vendor", webhooks=True)
        sys.modules["webhooks_bench"] = sys.modules["__main__"]
        studio.services.providers.register("bench", ctx, [spec])
        runner = web.AppRunner(studio.app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(await studio.services.database["webhook_inbox"].count({}), flush=True)
        await runner.cleanup()


def call_of(number: int) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(
        {"job": f"v-{number}" if number % UNKNOWN == 0 else None, "state": "succeeded", "pad": PAD}
    )
    now, name = datetime.now(UTC), f"msg_{number}"
    signature = Webhook(SECRET).sign(name, now, body)
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    return body.encode(), headers


async def load(port: int, calls: int, rate: float, at_once: int) -> tuple[list[float], float]:
    """Return the ms of each acknowledgement after the warm-up, from when it was due, and the seconds of all."""
    took: list[float] = []
    numbers, began = iter(range(calls + WARM)), time.perf_counter()
    address = f"http://127.0.0.1:{port}/api/webhooks/bench"

    async def one(session: ClientSession, number: int) -> None:
        due = began + number / rate if rate else time.perf_counter()
        await asyncio.sleep(due - time.perf_counter())
        body, headers = call_of(number)
        async with session.post(address, data=body, headers=headers) as answer:
            assert answer.status == ACCEPTED, await answer.text()
            await answer.read()
        if number >= WARM:
            took.append((time.perf_counter() - due) * 1000)

    async def several(session: ClientSession) -> None:
        for number in numbers:
            await one(session, number)

    async with ClientSession(timeout=ClientTimeout(60), connector=TCPConnector(limit=0)) as session:
        works = [one(session, n) for n in numbers] if rate else [several(session) for _ in range(at_once)]
        await asyncio.gather(*works)
    return took, time.perf_counter() - began


def started(command: list[str], folder: str, errors: Any) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, text=True, stdin=pipe, stdout=pipe, stderr=errors)


def measure(calls: int, rate: float, at_once: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
        log = Path(folder) / "server.log"
        with log.open("wb") as errors, started(command, folder, errors) as server:
            assert server.stdin
            assert server.stdout
            line = server.stdout.readline()
            assert line, log.read_text()[-2000:]
            took, seconds = asyncio.run(load(int(line), calls, rate, at_once))
            server.stdin.close()
            kept = int(server.stdout.readline())
    assert kept == calls + WARM, f"{calls + WARM} calls were acknowledged, {kept} are there"
    cuts = statistics.quantiles(took, n=100)
    return {"p50": cuts[49], "p99": cuts[98], "worst": max(took), "per_s": (calls + WARM) / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second; 0: as many as it takes")
    parser.add_argument("--at-once", type=int, default=8, help="connections with --rate 0")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve())
        return
    how = f"{chosen.rate:g} calls a second" if chosen.rate else f"{chosen.at_once} at once"
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {how}")
    runs = [measure(chosen.calls, chosen.rate, chosen.at_once) for _ in range(chosen.runs)]
    for run in [*runs, {name: statistics.median(r[name] for r in runs) for name in runs[0]}]:
        print("  ".join(f"{name} {value:.1f}" for name, value in run.items()))
    worst = max(run["p99"] for run in runs)
    print(
        f"largest p99 {worst:.1f} ms, target {TARGET_MS:.0f} ms: {'kept' if worst <= TARGET_MS else 'missed'}"
    )


if __name__ == "__main__":
    main()
