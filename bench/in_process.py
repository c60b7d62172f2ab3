"""What a request costs without a socket: `python bench/in_process.py aiohttp|studio [--keys health,post,list,read]`.

Requests are fed to the protocol of aiohttp through a transport that only counts, in the process that serves them: what
is left is the framework and the work. The rest of what `make bench` measures is the sockets'. Microseconds of CPU per
request: the median and the lowest of 25 runs of 600 requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import baseline_aiohttp
import platform_server
import uvloop
import work
from aiohttp import web

from studio.app import Studio, running
from studio.testing.memory import InMemoryDatabase

if TYPE_CHECKING:
    from collections.abc import Iterable

RUNS, REQUESTS, WARM = 25, 600, 500


class Transport(asyncio.Transport):
    """Takes what the server writes, and says when an answer is whole."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5555), "sockname": ("127.0.0.1", 80)})
        self._said = bytearray()
        self._whole: asyncio.Future[None] | None = None

    def expect(self) -> asyncio.Future[None]:
        """Return what is done once the next answer is whole."""
        self._said.clear()
        self._whole = asyncio.get_running_loop().create_future()
        return self._whole

    @property
    def status(self) -> int:
        """The status of the last answer."""
        return int(self._said[9:12])

    def write(self, data: Any) -> None:
        self._said += data
        end = self._said.find(b"\r\n\r\n")
        if end < 0 or self._whole is None or self._whole.done():
            return
        length = self._said[:end].lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        if len(self._said) >= end + 4 + int(length):
            self._whole.set_result(None)

    def writelines(self, parts: Iterable[Any]) -> None:
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def measure(name: str, runner: web.AppRunner, scenario: work.Scenario, token: str, secret: str) -> None:
    """Feed one kind of request, and print what it costs."""
    assert runner.server
    protocol, transport = runner.server(), Transport()
    protocol.connection_made(transport)
    requests = scenario.requests(80, token, secret)

    async def feed(count: int) -> float:
        began = time.process_time()
        for _ in range(count):
            whole = transport.expect()
            protocol.data_received(next(requests))
            await whole
        return (time.process_time() - began) / count * 1e6

    await feed(WARM)
    if transport.status != scenario.status:
        raise SystemExit(f"{scenario.key}: answered {transport.status}")
    costs = [await feed(REQUESTS) for _ in range(RUNS)]
    print(f"{name:8} {scenario.key:8} {statistics.median(costs):6.1f} us   (lowest {min(costs):.1f})")
    protocol.connection_lost(None)


async def bare(scenarios: list[work.Scenario]) -> None:
    """Measure the yardstick, on the standard library's loop."""
    runner = web.AppRunner(baseline_aiohttp.build(), access_log=None)
    await runner.setup()
    for scenario in scenarios:
        await measure("aiohttp", runner, scenario, work.make_token(work.USERS[0]), work.SECRET)
    await runner.cleanup()


async def platform(scenarios: list[work.Scenario]) -> None:
    """Measure the whole platform in memory, every plugin on."""
    os.environ["BENCH_TOKENS"] = "tokens.json"
    studio = Studio(environ=platform_server.variables(stored=False), database=InMemoryDatabase())
    async with running(studio), platform_server.listening(studio) as runner:
        door = web.TCPSite(runner, "127.0.0.1", 0)
        await door.start()
        await platform_server.prepare(studio, door.name.replace(":0", f":{runner.addresses[0][1]}"))
        await door.stop()
        known = json.loads(Path("tokens.json").read_text())
        for scenario in scenarios:
            await measure("studio", runner, scenario, known["tokens"][0], known["secret"])


def main() -> None:
    """Measure one side; each needs a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=("aiohttp", "studio"))
    parser.add_argument("--keys", default="health,post,list,read")
    options = parser.parse_args()
    scenarios = [one for one in work.SCENARIOS if one.key in options.keys.split(",")]
    if options.side == "aiohttp":
        asyncio.run(bare(scenarios))
        return
    with tempfile.TemporaryDirectory(prefix="bench-studio-") as name:
        (Path(name) / "config").symlink_to(platform_server.HERE.parent / "config")
        platform_server.install_plugin(Path(name))
        os.chdir(name)
        uvloop.run(platform(scenarios))


if __name__ == "__main__":
    main()
