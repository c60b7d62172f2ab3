"""`studio serve` as a child on a real database, with every installed plugin and four hostile ones."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from studio.model import new_id
from studio.testing.client import Client
from studio.testing.servers import free_port

pytestmark = [pytest.mark.child, pytest.mark.database]
ROUTE = """
@hookimpl
def register_routes(self, ctx):
    return [Route('GET', '/api/{name}', handle, PUBLIC, returns=Hello)]
"""
HANDLE = "async def handle(request):\n    return Hello(text='up')\n"
HANGS = """
@hookimpl
@asynccontextmanager
async def lifespan(self, ctx):
    await asyncio.Event().wait()
    yield
"""
LIMIT_S = 10.0


def hostile(door):
    door.plugin("bad_import", before="raise RuntimeError('at import')", prefixes=["/api/bad_import"])
    door.plugin("bad_exit", before="sys.exit(2)", prefixes=["/api/bad_exit"])
    door.plugin("bad_hang", ROUTE.format(name="bad_hang") + HANGS, before=HANDLE, prefixes=["/api/bad_hang"])
    events = "".join(
        f"@hookimpl\nasync def {hook}(self, ctx, {given}):\n    raise RuntimeError('each time')\n"
        for hook, given in (("activity_recorded", "activity"), ("job_changed", "job"))
    )
    lingers = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    routes = ROUTE.format(name="bad_hook")
    door.plugin("bad_hook", routes + events, before=HANDLE + lingers, prefixes=["/api/bad_hook"])


@asynccontextmanager
async def served(folder, url, path=""):
    """Start the server in an empty folder; yield its address and a coroutine that returns the seconds until ready."""
    port, names = free_port(), {"STUDIO_NAME": f"s{new_id().lower()}", "STORIES_NAME": f"t{new_id().lower()}"}
    environ = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")} | {
        "PYTHONPATH": str(path),
        "STUDIO_ENV": "test",
        "STUDIO_SERVER__PORT": str(port),
        "STUDIO_DATABASE__URL": url,
        "STUDIO_SERVER__SHUTDOWN_S": "3",
        "STUDIO_PLUGINS__START_DEADLINE_S": "4",
        "STUDIO_AUTH__OTP_INTERVAL_S": "0",
        **{f"STUDIO_LIMITS__{rate}": "1000000/1" for rate in ("ALL", "CREATE", "AUTH", "REFRESH", "MAIL")},
        "STUDIO_PLUGINS__DISABLED": "embedded,streaq",
        **{f"STUDIO_DATABASE__{key}": name for key, name in names.items()},
    }
    began, base = time.monotonic(), f"http://127.0.0.1:{port}"
    with (folder / f"server-{port}.log").open("wb") as log:
        command = (sys.executable, "-m", "studio", "serve")
        child = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environ, stdout=log, stderr=log
        )

    async def ready(session):
        async with asyncio.timeout(120):
            while True:
                assert child.returncode is None, log.name
                try:
                    async with session.get(f"{base}/readyz") as answer:
                        if answer.status == 200:
                            return time.monotonic() - began
                except (ClientError, TimeoutError):
                    await asyncio.sleep(0.05)

    try:
        yield base, ready
        child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(child.wait(), 60) == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def documented(session, base):
    """Return the status of every GET route without parameters."""
    async with session.get(f"{base}/api/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    found = {}
    for path, operations in paths.items():
        if "get" in operations and "{" not in path and not path.startswith("/socket.io"):
            async with session.get(base + path) as answer:
                found[path] = answer.status
    return found


async def test_four_hostile_plugins_cost_ten_seconds_at_most_and_no_route_of_anybody_else(
    door, database_server_url, tmp_path_factory
):
    hostile(door)
    elsewhere = tmp_path_factory.mktemp("alone")
    async with (
        ClientSession(timeout=ClientTimeout(30)) as session,
        served(elsewhere, database_server_url) as (alone, alone_ready),
        served(door.folder, database_server_url, door.folder) as (base, ready),
    ):
        alone_s, ready_s = await asyncio.gather(alone_ready(session), ready(session))
        before, after = await documented(session, alone), await documented(session, base)
        assert after.pop("/api/bad_hook") == 200
        assert after == before
        assert len(before) > 5
        assert not {status for status in after.values() if status >= 500}
        for name in ("bad_import", "bad_exit", "bad_hang"):
            async with session.get(f"{base}/api/{name}") as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "plugin_unavailable")
        async with session.get(f"{base}/api/capabilities") as answer:
            features = (await answer.json())["features"]
        ann = await Client(session, base, door.folder / ".studio" / "outbox").sign_in("ann@example.org")
        for number in range(4):
            made = await ann.post("/api/workbench/projects", {"name": f"Project {number}"})
            assert made.status in (200, 201), made
    sys.stdout.write(f"ready after {alone_s:.1f} s alone, {ready_s:.1f} s with four hostile plugins\n")
    assert ready_s < alone_s + LIMIT_S
    reasons = {f["name"]: f["reason"] for f in features if f["name"].startswith("bad_")}
    assert reasons["bad_import"] == reasons["bad_exit"] == "failed in import"
    assert reasons["bad_hang"] == "failed in start"
    assert reasons["bad_hook"] is None
    lines = next(door.folder.glob("server-*.log")).read_text().splitlines()
    failures = [json.loads(line) for line in lines if '"hook_failed"' in line]
    assert [(line["plugin"], line["switched_off"]) for line in failures] == [
        ("bad_hook", False),
        ("bad_hook", False),
        ("bad_hook", True),
    ]
