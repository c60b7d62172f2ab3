"""SIGTERM under load: `python bench/stop_server.py [--rounds 50]`, fifteen seconds a round.

In each round one `studio serve` gets fifty requests a second over twenty connections that are used again (reads,
writes, and a slow one that takes a second), works on jobs of a plugin's provider, and has ten websockets and five
event streams. Then it gets SIGTERM. Every third round a plugin has left a thread that never ends, every third one an
exit handler that sleeps for a minute.

Promised: `/readyz` says no at once; every request that was sent on an open connection gets its whole answer (who finds
the port closed was not accepted, and may go elsewhere); all leases are given back; websockets and streams are told
to come back; exit code 0 within 25 s. A 503 is an answer too, of a machine that is too busy: those are shown. At the
end the jobs of all rounds have succeeded in one attempt.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientTimeout, WSMsgType
from house import House, at_most, caller, session_of, told
from pymongo import MongoClient

if TYPE_CHECKING:
    from house import Api

    from studio.testing.client import Client

LINES, PER_S, SOCKETS, STREAMS, JOBS = 20, 50, 10, 5, 8
LOAD_S, AT_ONCE_S, EXIT_S = 2.0, 0.1, 25.0
BAD = ("", "thread", "atexit")
PLUGIN = """
    import asyncio, atexit, os, threading, time
    from studio import (Estimate, Generation, ImageRequest, JobKind, JobOrder, Manifest, Model, ProviderSpec, Route,
                        SIGNED_IN, StudioHooks, hookimpl)

    if os.environ.get("BENCH_BAD") == "thread":
        threading.Thread(target=time.sleep, args=(3600,)).start()
    if os.environ.get("BENCH_BAD") == "atexit":
        atexit.register(time.sleep, 60)

    class Started(Model):
        id: str

    class Vendor:
        def __init__(self, ctx):
            pass
        def estimate(self, request):
            return Estimate(cost_uusd=1)
        async def submit(self, request):
            await asyncio.sleep(1.0)
            return Generation(provider_job_id=f"v-{request.job_id}")
        async def poll(self, provider_job_id):
            await asyncio.sleep(0.5)
            return Generation(provider_job_id=provider_job_id, state="succeeded")

    async def request(job):
        return ImageRequest(job_id="x", prompt="a lamp")

    async def accept(job, generation, late):
        return {"result_asset_ids": []}

    async def order(request):
        target = {"type": "shot", "id": "s", "slot": "panel"}
        job = await request.ctx.jobs.submit(request.actor, JobOrder("slow.draw", "p", target, provider="slow"))
        return {"_id": job["_id"]}

    async def wait(request):
        await asyncio.sleep(1.0)
        return {"_id": "waited"}

    class Plugin(StudioHooks):
        manifest = Manifest("slow")
        @hookimpl
        def register_routes(self, ctx):
            return [Route("POST", "/api/slow", order, SIGNED_IN, returns=Started),
                    Route("POST", "/api/slow/wait", wait, SIGNED_IN, returns=Started)]
        @hookimpl
        def register_providers(self, ctx):
            return [ProviderSpec("slow", "image", "slow_plugin:Vendor", idempotent_submit=True)]
        @hookimpl
        def register_jobs(self, ctx):
            return [JobKind("slow.draw", "Draw slowly", "image", request, accept, poll_s=0.5)]
"""


class Line:
    """One connection that is used again; it sees whether the server has closed it before it sends anything."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.busy = False

    async def ask(self, request: bytes) -> str:
        """Send one request; return its status, `refused`, or what became of the connection instead."""
        self.busy = True
        try:
            if self._streams is None or self._streams[0].at_eof():
                self.close()
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return f"not connected: {type(error).__name__}"
        finally:
            self.busy = False
        self.busy = True
        try:
            return await self._answer(*self._streams, request)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            return f"broken: {type(error).__name__}"
        finally:
            self.busy = False

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> str:
        writer.write(request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
        body = await reader.readexactly(length)
        if "connection: close" in head:
            self.close()
        status = head.split()[1]
        return status if status < "400" else f"{status} {json.loads(body).get('code', '')}".strip()

    def close(self) -> None:
        """Close it, if it is open."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def request_of(method: str, path: str, token: str, body: Any = None) -> bytes:
    """Return the bytes of one request."""
    data = b"" if body is None else json.dumps(body).encode()
    kind = "Content-Type: application/json\r\n" if data else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{kind}"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


class Load:
    """Fifty requests a second, and what became of each."""

    def __init__(self, api: Api, token: str, story: str) -> None:
        self._token, self._story = token, story
        self._lines = [Line(api.port) for _ in range(LINES)]
        self._numbers = itertools.count()
        self.outcomes: Counter[str] = Counter()
        self.ended, self.stopping = asyncio.Event(), False

    def _next(self) -> bytes:
        number = next(self._numbers)
        under = f"/api/stories/{self._story}"
        kinds = (
            ("GET", "/healthz"),
            ("GET", "/api/workbench/projects"),
            ("GET", f"{under}/tree"),
            ("POST", f"{under}/props", {"name": f"prop {time.time_ns()} {number}"}),
            ("POST", "/api/slow/wait"),
        )
        method, path, *body = kinds[number % len(kinds)]
        return request_of(method, path, self._token, *body)

    async def run(self) -> None:
        """Send at a steady pace until `ended`, then wait for every answer."""
        async with asyncio.TaskGroup() as tasks:
            while not self.ended.is_set():
                free = [line for line in self._lines if not line.busy]
                if free:
                    line = random.choice(free)
                    line.busy = True
                    tasks.create_task(self._one(line, self._next()))
                await asyncio.sleep(1 / PER_S)
        for line in self._lines:
            line.close()

    async def _one(self, line: Line, request: bytes) -> None:
        outcome = await line.ask(request)
        if outcome not in ("200", "201", "refused"):
            stopping = "after" if self.stopping else "before"
            asked = request.split(b" HTTP")[0].decode().replace(self._story, "…")
            outcome = f"{outcome} {stopping} the signal: {asked}"
        self.outcomes[outcome] += 1


class Ears:
    """Websockets and event streams, and how each ended."""

    def __init__(self, client: Client, api: Api) -> None:
        self._headers, self._base = client.headers, api.base
        self._token = client.headers["Authorization"].removeprefix("Bearer ")
        self.ends: Counter[str] = Counter()
        self.up = 0

    async def run(self) -> None:
        """Listen with all until all have ended."""
        async with session_of(120) as session:
            works = [self._socket(session) for _ in range(SOCKETS)]
            await asyncio.gather(*works, *(self._stream(session) for _ in range(STREAMS)))

    async def _socket(self, session: Any) -> None:
        told_to = False
        async with session.ws_connect(f"{self._base}/socket.io/?EIO=4&transport=websocket") as socket:
            await socket.send_str(f"40{json.dumps({'token': self._token})}")
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
                self.up += message.data.startswith("40")
                told_to = told_to or message.data == "1"
        self.ends[
            "socket told to come back" if told_to or socket.close_code in (1000, 1001) else "socket cut"
        ] += 1

    async def _stream(self, session: Any) -> None:
        told_to = clean = False
        with suppress(ClientError):
            async with session.get(
                f"{self._base}/api/events", headers=self._headers, timeout=ClientTimeout(total=None)
            ) as answer:
                self.up += 1
                async for line in answer.content:
                    told_to = told_to or line.startswith(b"retry:")
                clean = True
        self.ends["stream told to come back" if told_to and clean else "stream cut"] += 1


async def readiness(api: Api, since: float, said: list[tuple[float, str]]) -> None:
    """Ask `/readyz` on new connections until the port is closed; note when each was asked and what it got."""
    outcome = ""
    while outcome != "refused":
        asked, line = time.perf_counter() - since, Line(api.port)
        outcome = await line.ask(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said.append((asked, outcome))
        line.close()
        await asyncio.sleep(0.01)


class Round:
    """What one stop showed."""

    def __init__(self, bad: str) -> None:
        self.bad = bad
        self.code, self.seconds, self.leases = -1, 0.0, -1
        self.said: list[tuple[float, str]] = []
        self.outcomes: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    def problems(self) -> list[str]:
        """Return what was promised and not kept."""
        late = [one for one in self.said if one[0] > AT_ONCE_S and one[1] == "200"]
        good = ("200", "201", "refused")
        broken = {k: n for k, n in self.outcomes.items() if k not in good and not k.startswith("503")}
        cut = {k: n for k, n in self.ends.items() if k.endswith("cut")}
        found = [f"ready {late[-1][0]:.2f} s after the signal"] if late else []
        found += [f"{n} x {what}" for what, n in (broken | cut).items()]
        found += [f"{self.leases} leases kept"] if self.leases else []
        found += [f"exit {self.code}"] if self.code else []
        found += [f"{self.seconds:.1f} s"] if self.seconds > EXIT_S else []
        return found


def jobs(house: House) -> Any:
    """Return the collection of jobs."""
    client: Any = MongoClient(house.database.url)
    return client["studio"]["jobs"]


async def one_round(house: House, api: Api, client: Client, story: str, bad: str) -> Round:
    """Start, load, stop, look."""
    found, api.environ = Round(bad), {"BENCH_BAD": bad}
    if api.process is None or api.process.returncode is not None:
        await api.start()
    token = client.headers["Authorization"].removeprefix("Bearer ")
    load, ears = Load(api, token, story), Ears(client, api)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run())
        tasks.create_task(ears.run())
        for _ in range(JOBS):
            while (await client.post("/api/slow", {})).status != 200:  # noqa: PLR2004 - too busy
                await asyncio.sleep(0.5)
        async with asyncio.timeout(60):
            while ears.up < SOCKETS + STREAMS:
                await asyncio.sleep(0.02)
        await asyncio.sleep(LOAD_S)
        load.stopping, began = True, time.perf_counter()
        stop = asyncio.create_task(api.terminate())
        await asyncio.sleep(0)  # the signal is out
        await readiness(api, began, found.said)
        load.ended.set()
        found.code, found.seconds = await stop
    found.outcomes, found.ends = load.outcomes, ears.ends
    found.leases = jobs(house).count_documents({"lease_owner": {"$exists": True}})
    return found


async def finish(house: House, api: Api) -> bool:
    """Let the server do what is left; return whether every job has succeeded, in one attempt."""
    api.environ = {}
    await api.start()
    async with asyncio.timeout(300):
        while jobs(house).count_documents({"state": {"$nin": ["succeeded", "failed", "cancelled"]}}):
            await asyncio.sleep(0.2)
    states = Counter((job["state"], job["attempt"]) for job in jobs(house).find({}))
    print(f"jobs (state, attempts): {dict(states)}")
    return set(states) == {("succeeded", 1)}


async def main(rounds: int) -> int:
    """Run and print; return 1 when a promise was not kept."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {rounds} rounds")
    async with House.of(STUDIO_JOBS__LEASE_S="600") as house:
        house.install("slow", PLUGIN)
        api = house.api("server")
        await api.start()
        async with caller(api) as client:
            project = (await client.post("/api/workbench/projects", {"name": "Stops"})).json["id"]
            body = {"projectId": project, "text": "INT. ROOM - NIGHT\n\nA lamp.\n"}
            story = (await client.post("/api/stories", body)).json["id"]
            found = []
            for number in range(rounds):
                one = await one_round(house, api, client, story, BAD[number % 3] if number else "")
                found.append(one)
                broken = ", ".join(one.problems()) or "kept"
                print(f"{number + 1:3} {one.bad or 'plain':6} {one.seconds:5.2f} s: {broken}", flush=True)
            done = await finish(house, api)
    total = sum((one.outcomes for one in found), Counter[str]())
    no = [min((asked for asked, what in one.said if what == "503"), default=-1.0) for one in found]
    print(f"requests: {dict(total)}; ends: {dict(sum((one.ends for one in found), Counter[str]()))}")
    print(
        f"first no of /readyz: median {statistics.median(no) * 1000:.0f} ms, at most {max(no) * 1000:.0f} ms"
    )
    for bad in BAD:
        took = [one.seconds for one in found if one.bad == bad]
        if took:
            print(f"{bad or 'plain'}: {statistics.median(took):.2f} s, at most {at_most(took, 100):.2f} s")
    problems = [problem for one in found for problem in one.problems()]
    return told(
        {
            f"{rounds} stops: no request broken, leases back, exit 0 within {EXIT_S:.0f} s": not problems,
            "every job succeeded in one attempt": done,
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    sys.exit(asyncio.run(main(parser.parse_args().rounds)))
