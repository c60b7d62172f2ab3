"""The whole platform for the benchmark: every plugin on, one process, uvloop, the door as for everybody.

`platform_server.py --port N` keeps the platform's own data (users, sessions, projects, roles) in memory, as
the baselines keep theirs, and runs the embedded cache as a child; `--stored` runs the embedded database too.
The bench routes are a plugin (`platform_plugin.py`) that the platform finds by an entry point. Before it
listens on the port, sixteen users and an outsider sign in over HTTP with codes from the outbox, join a
project, and their tokens go to the file that BENCH_TOKENS names. Everything lives in a folder that goes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
import work
from aiohttp import ClientSession, ClientTimeout, web
from platform_plugin import Store

from studio.app import Studio, running
from studio.cli.connections import close_silent
from studio.plugins.state import PluginState
from studio.testing.client import Client
from studio.testing.installed import offer
from studio.testing.memory import InMemoryDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
EDITOR, OUTSIDER = "artist", "viewer"


def install_plugin(folder: Path) -> None:
    """Make the bench plugin an installed distribution of this process."""
    site = folder / "site"
    offer(site, "bench", "platform_plugin:Plugin", prefixes=["/bench"], distribution="studio-bench")
    sys.path.append(str(site))


def variables(*, stored: bool) -> dict[str, str]:
    """What `studio serve` would read, relative to the folder. A URL keeps the database child away."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("STUDIO_")}
    given = {name: value for name, value in given.items() if name not in ("MONGODB_URL", "REDIS_URL")}
    unused = {} if stored else {"STUDIO_DATABASE__URL": "mongodb://127.0.0.1:1"}
    lifted = {f"STUDIO_LIMITS__{rate}": "1000000000/10" for rate in ("ALL", "CREATE", "AUTH", "MAIL")}
    given["STUDIO_AUTH__SECRET"] = work.SECRET
    return given | unused | lifted | {"STUDIO_ENV": "development", "STUDIO_CONFIG_DIR": "config"}


def check_plugins(studio: Studio) -> None:
    records = studio.loader.records.values()
    if missing := [
        f"{r.name}: {r.state} in {r.phase}: {r.error}" for r in records if r.state != PluginState.READY
    ]:
        sys.exit("the benchmark runs all plugins, but\n  " + "\n  ".join(missing))


async def sign_in(client: Client, address: str) -> tuple[Client, str]:
    user = await client.sign_in(address)
    return user, user.headers["Authorization"].removeprefix("Bearer ")


async def add_people(client: Client) -> tuple[str, list[str], str]:
    """Return the project, the tokens of its sixteen artists, and of a viewer."""
    owner, _ = await sign_in(client, "owner@example.com")
    project = (await owner.post("/api/workbench/projects", {"name": "Bench"})).json["id"]
    tokens = []
    for name, role in [*((user, EDITOR) for user in work.USERS), (work.OUTSIDER, OUTSIDER)]:
        address = f"{name}@example.com"
        user, token = await sign_in(client, address)
        tokens.append(token)
        await user.join(owner, project, role)
    return project, tokens[:-1], tokens[-1]


async def prepare(studio: Studio, address: str) -> None:
    async with ClientSession(timeout=ClientTimeout(30)) as session:
        project, tokens, outsider = await add_people(Client(session, address, Path(".studio/outbox")))
    studio.services.provided[Store][1].project_id = project
    if path := os.environ.get("BENCH_TOKENS"):
        content = json.dumps({"tokens": tokens, "outsider": outsider, "secret": work.SECRET})
        Path(path).write_text(content)


@contextlib.asynccontextmanager
async def listening(studio: Studio) -> AsyncIterator[web.AppRunner]:
    """The application as `studio serve` runs it."""
    runner = web.AppRunner(studio.app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    assert runner.server
    sweeper = asyncio.create_task(close_silent(runner.server))
    try:
        yield runner
    finally:
        sweeper.cancel()
        await runner.cleanup()


async def serve(port: int, *, stored: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    studio = Studio(environ=variables(stored=stored), database=None if stored else InMemoryDatabase())
    async with running(studio), listening(studio) as runner:
        check_plugins(studio)
        door = web.TCPSite(runner, "127.0.0.1", 0)
        await door.start()
        await prepare(studio, door.name.replace(":0", f":{runner.addresses[0][1]}"))
        await door.stop()
        gc.collect()
        gc.freeze()  # as `studio serve` does once it is ready
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--stored", action="store_true", help="everything in the embedded database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-studio-") as name:
        folder = Path(name)
        (folder / "config").symlink_to(HERE.parent / "config")
        install_plugin(folder)
        os.chdir(folder)
        uvloop.run(serve(options.port, stored=options.stored))


if __name__ == "__main__":
    main()
