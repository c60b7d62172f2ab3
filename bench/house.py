"""What the benches of the promises share: servers of one installation in a folder that goes, and who calls them.

A `House` has a database and a cache of its own (SecantusDB with a journal that is flushed at every commit, as the
embedded one, and Valkey), on ports that stay the same when they come back, and any number of `studio serve` beside
each other on both. Everything ends with the block, and the database and the cache even if this process is killed.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from studio.testing.client import Client
from studio.testing.installed import write_plugin
from studio.testing.servers import Server, free_port, start_cache, start_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

READY_S = 120.0
OK = 200
TICKS = os.sysconf("SC_CLK_TCK")
DURABLE = "[storage]\nsync_on_commit = true\n"
RATES = ("ALL", "CREATE", "AUTH", "REFRESH", "MAIL")


def at_most(values: Sequence[float], hundredths: int) -> float:
    """Return the value that so many of a hundred do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * hundredths // 100)] if ordered else 0.0


class Api:
    """One `studio serve`, which may be killed and started again on its port."""

    def __init__(self, house: House, name: str) -> None:
        self._house, self.name, self.port = house, name, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process | None = None
        self.environ: dict[str, str] = {}

    @property
    def log(self) -> Path:
        """Where it writes what it says."""
        return self._house.folder / f"{self.name}.log"

    async def start(self, within_s: float = READY_S) -> float:
        """Start it; return the seconds from the command to the first ready answer."""
        began = time.perf_counter()
        own = {
            "STUDIO_SERVER__PORT": str(self.port),
            "STUDIO_PLUGINS__STARTS_DIR": str(self._house.folder / "starts" / self.name),
        }
        command = (sys.executable, "-m", "studio", "serve")
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, cwd=self._house.folder, env=self._house.environ | own | self.environ,
                stdout=log, stderr=log,
            )  # fmt: skip
        async with ClientSession(timeout=ClientTimeout(5)) as session, asyncio.timeout(within_s):
            while self.process.returncode is None:
                with suppress(ClientError, TimeoutError):
                    async with session.get(f"{self.base}/readyz") as answer:
                        if answer.status == OK:
                            return time.perf_counter() - began
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")

    async def kill(self) -> None:
        """End it as a crash would."""
        assert self.process
        self.process.kill()
        await self.process.wait()

    async def terminate(self, within_s: float = 60.0) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds it took."""
        assert self.process
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(self.process.wait(), within_s)
        return code, time.perf_counter() - began

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def cpu_s(self) -> float:
        """Return user and system time of the process. Source: proc(5), stat fields 14 and 15."""
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mib(self) -> float:
        """Return the resident memory. Source: proc(5), statm field 2."""
        assert self.process
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1_048_576


class House:
    """One folder, its database and cache, and the servers on them."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        for name in ("database", "cache"):
            (folder / name).mkdir()
        (folder / "database" / "secantusd.toml").write_text(DURABLE)
        self.database: Server = start_database(folder / "database")
        self.cache: Server = start_cache(folder / "cache")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")}
        self.environ = inherited | {
            "STUDIO_ENV": "test",
            "STUDIO_DATABASE__URL": self.database.url,
            "STUDIO_CACHE__URL": self.cache.url,
            "STUDIO_SERVER__SHUTDOWN_S": "8",
            "STUDIO_AUTH__SECRET": "bench-" + "k" * 40,
            "STUDIO_AUTH__OTP_INTERVAL_S": "0",
            "STUDIO_AUTH__ACCESS_TTL_S": "86400",
            "STUDIO_LOGGING__FORMAT": "json",
            **{f"STUDIO_LIMITS__{rate}": "1000000/1" for rate in RATES},
            **environ,
        }
        self.apis: list[Api] = []

    def api(self, name: str) -> Api:
        """Return a server that is not started yet."""
        self.apis.append(Api(self, name))
        return self.apis[-1]

    def install(self, name: str, source: str) -> None:
        """Have the servers find a plugin `name` with routes under `/name`; `source` is its module."""
        path = self.folder / "path"
        write_plugin(path, name, source, prefixes=[f"/{name}", f"/api/{name}"])
        self.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))

    def restart_database(self) -> None:
        """Bring the database back on its port."""
        self.database = start_database(self.folder / "database", self.database.port)

    def restart_cache(self) -> None:
        """Bring the cache back on its port, empty."""
        self.cache = start_cache(self.folder / "cache", self.cache.port)

    async def end(self) -> None:
        """Leave nothing behind."""
        for api in self.apis:
            if api.process and api.process.returncode is None:
                with suppress(TimeoutError):
                    await api.terminate(20)
            if api.process and api.process.returncode is None:
                await api.kill()
        for server in (self.database, self.cache):
            server.stop()

    @classmethod
    @asynccontextmanager
    async def of(cls, **environ: str) -> AsyncIterator[Self]:
        """Yield a house in a folder of its own; `environ` is for all its servers."""
        with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
            house = cls(Path(folder), environ)
            try:
                yield house
            finally:
                await house.end()


@asynccontextmanager
async def caller(api: Api, address: str = "ann@example.org") -> AsyncIterator[Client]:
    """Yield a client that is signed in at `api`; its headers hold at every server of the house."""
    async with session_of() as session:
        yield await Client(session, api.base, api.log.parent / ".studio" / "outbox").sign_in(address)


def session_of(seconds: float = 30.0) -> ClientSession:
    """Return a session without a limit of connections, for loads."""
    return ClientSession(timeout=ClientTimeout(seconds), connector=TCPConnector(limit=0))


def told(kept: dict[str, bool]) -> int:
    """Print each promise with its outcome; return the exit code."""
    for promise, held in kept.items():
        print(f"  {'kept  ' if held else 'MISSED'}  {promise}")
    return 0 if all(kept.values()) else 1
