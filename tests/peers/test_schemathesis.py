"""Schemathesis against a real `studio serve`: 1,000 calls, or as many as SCHEMATHESIS_CALLS says.

No 5xx, no call over a second that is over it again, and no answer that the document does not know.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout

from studio.testing.client import Client
from studio.testing.servers import free_port

pytestmark = pytest.mark.peer
FIGURES = ("p50_ms", "p99_ms", "p999_ms", "max_ms", "cpu_p999_ms", "cpu_max_ms", "load")
CALLS = int(os.environ.get("SCHEMATHESIS_CALLS", "1000"))
PACKAGE = "schemathesis==4.32.5"
ENGINE_IO = "/socket.io/ 400: UndefinedContentType"
"""Engine.IO's own refusals are texts; everything else of ours that refuses is a problem+json."""
HERE, ADDRESS, START_S = Path(__file__).parent, "calls@example.org", 90


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory):
    """Return a Python that has Schemathesis, in an environment of its own."""
    uv, folder = Path(sys.executable).with_name("uv"), tmp_path_factory.mktemp("schemathesis")
    if not uv.exists():
        pytest.skip(f"needs {uv}: make setup")
    constraints = HERE.parents[1] / "constraints.txt"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True, timeout=60)
    python = folder / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--python", python, "--constraints", constraints, PACKAGE]
    subprocess.run(install, check=True, timeout=180)
    return python


@asynccontextmanager
async def installation(folder):
    """Run a real `studio serve` in an empty folder and yield (address, process id, environment)."""
    port = free_port()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")} | {
        "STUDIO_ENV": "test",
        "STUDIO_SERVER__PORT": str(port),
        "STUDIO_AUTH__OTP_INTERVAL_S": "0",
        "STUDIO_AUTH__ADMINS": json.dumps([ADDRESS]),
        "STUDIO_LOGGING__LEVEL": "error",
        "STUDIO_PASSWORD__ENABLED": "true",
        "STUDIO_PLUGINS__DISABLED": '["centrifugo"]',  # it says 503 where no Centrifugo runs
        **{f"STUDIO_LIMITS__{rate}": "1000000/1" for rate in ("ALL", "CREATE", "AUTH", "REFRESH", "MAIL")},
    }
    with (folder / "server.log").open("wb") as log:
        command = (sys.executable, "-m", "studio", "serve")
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environ, stdout=log, stderr=log
        )
    try:
        async with ClientSession(timeout=ClientTimeout(60)) as session, asyncio.timeout(START_S):
            base = f"http://127.0.0.1:{port}"
            while not await _ready(session, base):
                assert process.returncode is None, (folder / "server.log").read_text()[-3000:]
                await asyncio.sleep(0.1)
        yield base, process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 60)


async def _ready(session, base):
    try:
        async with session.get(f"{base}/readyz") as answer:
            return answer.status == 200
    except OSError:
        return False


def security(name):
    """Load a module of tests/security: it knows how to fill a Studio with one of each thing."""
    if name not in sys.modules:
        path = HERE.parent / "security" / f"{name.removeprefix('security_')}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


async def known(base, folder):
    """Make one of each thing; return (document, real values of path parameters and of id fields)."""
    crawl, stage = security("security_crawl"), security("security_conftest")
    async with ClientSession(timeout=ClientTimeout(60)) as session:
        nobody = Client(session, base, folder / ".studio" / "outbox")
        document = (await nobody.get("/api/openapi.json")).json
        owner, api = await stage.seed(crawl, nobody, ADDRESS, stage.STORY), crawl.Api(session, base, document)
        await api.explore(owner, owner, frozenset())
    paths = {}
    for operation in api.operations:
        values = {name: owner.parameter(operation.path, name) for name in operation.parameters}
        paths[str(operation)] = {name: value for name, value in values.items() if value}
    return document, {"paths": paths, "names": {crawl.camel(n): v for n, v in owner.names.items()}}


async def test_generated_calls_get_answers_that_the_document_knows(interpreter, tmp_path):
    async with installation(tmp_path) as (base, pid):
        document, real = await known(base, tmp_path)
        database = json.loads((tmp_path / ".studio" / "embedded.json").read_text())["database"]["pid"]
        orders = {
            "url": base, "address": ADDRESS, "outbox": str(tmp_path / ".studio" / "outbox"), "calls": CALLS,
            "pids": [pid, database], "known": real, "document": document,
        }  # fmt: skip
        script = HERE / "schemathesis_calls.py"
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            interpreter, "-W", "ignore", script, stdin=pipe, stdout=pipe, stderr=pipe
        )
        out, err = await asyncio.wait_for(process.communicate(json.dumps(orders).encode()), 120 + CALLS)
    assert process.returncode == 0, err.decode()[-3000:]
    told = json.loads(out)
    figures = {name: round(told[name], 1) for name in FIGURES}
    print(f"\n{told['calls']} calls of {told['operations']} operations: {figures}, {told['statuses']}")
    for slow in told["slow"]:
        print(f"  slow: {slow}")
    lies = [f"{what}\n      {seen}" for what, seen in told["lies"].items() if ENGINE_IO not in what]
    assert told["calls"] == CALLS
    assert told["errors"] == []
    assert not [s for s in told["slow"] if s["again_s"] and min(s["again_s"]) > 1]
    assert not lies, f"{len(lies)} answers that the document does not tell:\n" + "\n".join(lies[:60])
