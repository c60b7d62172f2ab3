"""What signing in takes: `python bench/sign_in.py [--rounds 200]`, a minute on a machine that does nothing else.

One person after the other asks for a code, shows it, refreshes, reads their account and signs out, against a whole
`studio serve` with its embedded database and cache. p50 and p99 of each step in ms. It speaks HTTP only, so it
measures any earlier version too: run it with that version's own interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import ClientSession, ClientTimeout

from studio.cli.server import own_server
from studio.testing.client import Client

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from studio.testing.client import Answer

OUTBOX, WARM = Path(".studio/outbox"), 10


class Watch:
    """Milliseconds of each step."""

    def __init__(self) -> None:
        self.took: defaultdict[str, list[float]] = defaultdict(list)

    async def time(self, step: str, status: int, call: Awaitable[Answer]) -> Answer:
        began = time.perf_counter()
        answer = await call
        self.took[step].append((time.perf_counter() - began) * 1000)
        assert answer.status == status, (step, answer)  # a bench ends with what went wrong
        return answer

    def show(self) -> None:
        for step, all_of_them in self.took.items():
            found = all_of_them[WARM:]
            p99 = statistics.quantiles(found, n=100)[98]
            print(f"  {step:16} p50 {statistics.median(found):6.1f} ms   p99 {p99:6.1f} ms")


async def once(watch: Watch, client: Client, address: str) -> None:
    asked = await watch.time("code, by mail", 202, client.post("/api/auth/otp/request", {"email": address}))
    assert asked
    body = {"email": address, "code": client.code_for(address)}
    pair = (await watch.time("sign in", 200, client.post("/api/auth/otp/verify", body))).json
    refresh = {"refreshToken": pair["refreshToken"]}
    pair = (await watch.time("refresh", 200, client.post("/api/auth/refresh", refresh))).json
    bearer = {"Authorization": f"Bearer {pair['accessToken']}"}
    await watch.time("read, new token", 200, client.get("/api/auth/me", headers=bearer))
    await watch.time("read, again", 200, client.get("/api/auth/me", headers=bearer))
    await watch.time("sign out", 204, client.post("/api/auth/logout", headers=bearer))


async def main(rounds: int) -> None:
    """Measure and print."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {rounds} rounds")
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        os.chdir(folder)
        os.environ.update(
            {f"STUDIO_LIMITS__{rate}": "1000000/1" for rate in ("ALL", "AUTH", "REFRESH", "MAIL")}
        )
        async with own_server() as base, ClientSession(timeout=ClientTimeout(30)) as session:
            client, watch = Client(session, base, OUTBOX), Watch()
            for number in range(rounds + WARM):
                await once(watch, client, f"person-{number}@example.org")
            watch.show()
        os.chdir("/")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    sys.exit(asyncio.run(main(parser.parse_args().rounds)))
