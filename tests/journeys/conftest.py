"""A real `studio serve` with its own database and cache in an empty folder, and a client that keeps accounts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from studio.testing.client import Client
from studio.testing.servers import free_port

STORY = Path(__file__).with_name("the-long-night.fountain")
PATIENCE = 4.0
"""How many times slower than a quiet machine one may be that others keep busy: deadlines only find what hangs."""
ENDED = ("succeeded", "failed", "cancelled")


class Installation:
    """One folder and the server that runs in it; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")}
        self.environ = inherited | {
            "STUDIO_ENV": "test",
            "STUDIO_SERVER__PORT": str(self.port),
            "STUDIO_SERVER__SHUTDOWN_S": "8",
            "STUDIO_AUTH__OTP_INTERVAL_S": "0",
            **{
                f"STUDIO_LIMITS__{rate}": "1000000/1" for rate in ("ALL", "CREATE", "AUTH", "REFRESH", "MAIL")
            },
            "STUDIO_LOGGING__FORMAT": "json",
        }
        self.process = None

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    async def start(self, within_s: float = 120.0) -> float:
        """Start the server; return the seconds until it was ready."""
        began = time.monotonic()
        with (self.folder / "server.log").open("ab") as log:
            command = (sys.executable, "-m", "studio", "serve")
            self.process = await asyncio.create_subprocess_exec(
                *command, cwd=self.folder, env=self.environ, stdout=log, stderr=log
            )
        async with ClientSession(timeout=ClientTimeout(5)) as session, asyncio.timeout(within_s):
            while True:
                assert self.process.returncode is None, self.log[-3000:]
                with suppress(ClientError, TimeoutError):
                    async with session.get(f"{self.base}/readyz") as answer:
                        if answer.status == 200:
                            return time.monotonic() - began
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """End the server, and only the server, as a crash would."""
        self.process.kill()
        await self.process.wait()

    async def terminate(self) -> tuple[int, float]:
        """Ask the server to end; return its exit code and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(self.process.wait(), 60)
        return code, time.monotonic() - began

    def server_pid(self, name: str) -> int:
        """Return the process id of the embedded database or cache."""
        return json.loads((self.folder / ".studio" / "embedded.json").read_text())[name]["pid"]

    def family(self) -> set[int]:
        """Return the process ids of all descendants of the server."""
        parents = dict(_processes())
        found, grown = {self.process.pid}, True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            grown = bool(more)
            found |= more
        return found - {self.process.pid}

    async def end(self) -> None:
        """Leave no process behind, whatever the test did."""
        if self.process and self.process.returncode is None:
            with suppress(TimeoutError):
                await self.terminate()
        if self.process and self.process.returncode is None:
            await self.kill()
        for name in ("database", "cache"):
            with suppress(OSError, KeyError, ValueError, TypeError):
                pid = self.server_pid(name)
                if str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


def _processes():
    """Yield (pid, parent pid) of every living process. Source: proc(5)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                yield int(path.parent.name), int(parent)


def alive(pids):
    """Return those of `pids` that still run."""
    return set(pids) & {pid for pid, _ in _processes()}


class Ledger:
    """Writes without pause, remembers every "yes", and later asks REST for each of them."""

    def __init__(self, client, story_id: str) -> None:
        self._client, self._path = client, f"/api/stories/{story_id}/props"
        self.kept: dict[str, str] = {}
        self.refused = 0

    async def _write(self) -> None:
        number = 0
        while True:
            number += 1
            try:
                answer = await self._client.post(self._path, {"name": f"Prop {number}"})
            except (ClientError, TimeoutError):
                self.refused += 1
            else:
                if answer.status == 201:
                    self.kept[answer.json["id"]] = answer.json["name"]
                else:
                    assert answer.status in (429, 503), answer
                    self.refused += 1
            await asyncio.sleep(0.1)  # a pace, not a wait: two cores do the work that is tested too

    @asynccontextmanager
    async def writing(self):
        task = asyncio.create_task(self._write())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def lost(self) -> set[str]:
        """Return the names that were acknowledged and are not there."""
        answer = await self._client.get(self._path)
        assert answer.status == 200, answer
        there = {prop["id"]: prop["name"] for prop in answer.json}
        return {name for prop_id, name in self.kept.items() if there.get(prop_id) != name}


class Film:
    """One project with the story of 24 shots, asked and ordered over REST only."""

    def __init__(self, client, project, story) -> None:
        self.client, self.project, self.story = client, project, story
        self.orders: list[str] = []
        """Ids of all jobs that the server said yes to."""

    async def answer(self, method, path, json=None, expected=(200, 201, 202), **options):
        """Return the JSON of one answer; a server that is away or busy is asked again for two minutes."""
        give_up = time.monotonic() + 30 * PATIENCE
        while True:
            try:
                found = await self.client.call(method, path, json, **options)
                if found.status in expected:
                    return found.json
                assert found.status == 503, found
                assert time.monotonic() < give_up, found
            except ClientError:
                assert time.monotonic() < give_up
            await asyncio.sleep(0.05)

    async def batch(self, *kinds, scenes=None):
        """Order takes; return the jobs' ids."""
        order = {"storyId": self.story["id"], "kinds": list(kinds), "scenes": scenes}
        made = await self.answer("POST", "/api/assetGen/batch", order)
        assert made["blocked"] == []
        ids = [job["id"] for job in made["jobs"]]
        self.orders += ids
        return ids

    async def timeline(self, scenes=None):
        order = {"storyId": self.story["id"]} | ({"scenes": scenes} if scenes else {})
        return await self.answer("POST", "/api/workbench/timelines", order)

    async def render(self, timeline, **options):
        started = await self.answer(
            "POST", f"/api/workbench/timelines/{timeline['id']}/render", options or None
        )
        self.orders.append(started["jobId"])
        return started["jobId"]

    async def pages(self, path):
        """Return all items of a paged list of this project."""
        items, cursor = [], ""
        while cursor is not None:
            query = f"?projectId={self.project['id']}&limit=200" + (f"&cursor={cursor}" if cursor else "")
            page = await self.answer("GET", path + query)
            items, cursor = items + page["items"], page["nextCursor"]
        return items

    async def jobs(self, ids):
        found = {job["id"]: job for job in await self.pages("/api/assetGen/jobs")}
        assert set(ids) <= set(found), "an acknowledged order is gone"
        return [found[job_id] for job_id in ids]

    async def until(self, ids, enough, within_s):
        """Look at the jobs until `enough(jobs)` holds, and return them."""
        give_up = time.monotonic() + within_s * PATIENCE
        while not enough(jobs := await self.jobs(ids)):
            shown = [(job["kind"], job["state"], job["progress"]["pct"], job["error"]) for job in jobs]
            assert time.monotonic() < give_up, f"not within {PATIENCE} x {within_s} s: {shown}"
            await asyncio.sleep(0.1)
        return jobs

    async def done(self, ids, within_s):
        """Wait until all have ended, and see that they have succeeded."""
        jobs = await self.until(ids, lambda jobs: all(job["state"] in ENDED for job in jobs), within_s)
        assert [(job["kind"], job["error"]) for job in jobs if job["state"] != "succeeded"] == []
        return jobs

    async def takes(self):
        """Return how many takes each slot has, by (owner, slot)."""
        counts: dict[tuple[str, str], int] = {}
        for asset in await self.pages("/api/assetGen/assets"):
            key = (asset["owner"]["id"], asset["slot"])
            counts[key] = counts.get(key, 0) + 1
        return counts

    async def export(self, timeline, kind):
        found = await self.client.get(f"/api/workbench/timelines/{timeline['id']}/export?format={kind}")
        assert found.status == 200, found
        return found.bytes


@pytest.fixture
async def installation(tmp_path):
    made = Installation(tmp_path)
    try:
        yield made
    finally:
        await made.end()


@pytest.fixture
async def film(installation):
    """A running server with a story that is broken down into 24 shots; small frames, so that it is quick."""
    await installation.start()
    async with ClientSession(timeout=ClientTimeout(30)) as session:
        nobody = Client(session, installation.base, installation.folder / ".studio" / "outbox")
        client = await nobody.sign_in("ann@example.org")
        made = Film(client, None, None)
        wanted = {"name": "The Long Night", "resolution": "480p"}
        made.project = await made.answer("POST", "/api/workbench/projects", wanted)
        upload = f"/api/stories/upload?projectId={made.project['id']}&filename={STORY.name}"
        raw = {"data": STORY.read_bytes(), "headers": {"Content-Type": "application/octet-stream"}}
        made.story = await made.answer("POST", upload, **raw)
        started = await made.answer("POST", f"/api/stories/{made.story['id']}/breakdown")
        await made.done([started["jobId"]], 20)
        tree = await made.answer("GET", f"/api/stories/{made.story['id']}/tree")
        assert len(tree["shots"]) == 24
        yield made


@pytest.fixture(scope="session")
def ledger():
    return Ledger


@pytest.fixture(scope="session")
def still_alive():
    return alive
