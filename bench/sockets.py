"""A thousand sockets, a fifth of which read nothing: `python bench/sockets.py [--sockets 1000]`, two minutes.

Every socket speaks Engine.IO over its own websocket, by hand, is signed in and has joined one project. A plugin
of the bench publishes events to the project's room, three a second of 12 KB each, that carry the moment of their
publishing; clocks of one machine are compared. Before that come as many seconds with the fast sockets alone, to
show what the machine does by itself.

Promised: the fast ones get every event, within 100 ms (p99); those that read nothing are cut at 100 packets or 1 MB;
`publish_room` never takes 10 ms; the server's memory grows by at most 150 MiB, connections included. How late the
server's own timers came is shown beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from house import House, at_most, caller, told

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse
    from house import Api

    from studio.testing.client import Client

PER_S, EVENTS, BYTES, CALM = 3, 180, 12_000, 30
P99_MS, PUBLISH_MS, RSS_MIB, AT_ONCE = 100.0, 10.0, 150.0, 25
PACKETS, QUEUED_BYTES = 100, 1_000_000
PLUGIN = """
    import asyncio, time
    from contextlib import asynccontextmanager
    from studio import Event, Manifest, Model, PluginContext, Route, SIGNED_IN, StudioHooks, hookimpl

    LAGS = []

    class Order(Model):
        room: str
        size: int

    class Published(Model):
        ms: float

    class Lags(Model):
        ms: list[float]

    async def publish(request, body: Order):
        began = time.perf_counter()
        request.ctx.realtime.publish_room(body.room, "bench.event", {"at": began, "pad": "x" * body.size})
        return {"ms": (time.perf_counter() - began) * 1000}

    async def lags(request):
        found = LAGS[:]
        LAGS.clear()
        return {"ms": found}

    async def tick():
        while True:
            due = time.perf_counter() + 0.01
            await asyncio.sleep(0.01)
            LAGS.append((time.perf_counter() - due) * 1000)

    class Plugin(StudioHooks):
        manifest = Manifest("bench")
        @hookimpl
        def register_events(self, ctx):
            return [Event("bench.event", "An event of the bench")]
        @hookimpl
        def register_routes(self, ctx):
            return [Route("POST", "/bench/publish", publish, SIGNED_IN, returns=Published),
                    Route("POST", "/bench/lags", lags, SIGNED_IN, returns=Lags)]
        @hookimpl
        @asynccontextmanager
        async def lifespan(self, ctx):
            task = asyncio.create_task(tick())
            yield
            task.cancel()
"""


def narrow(address: Any) -> socket.socket:
    """Return a socket that takes in little: what it does not read fills the server's side soon."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)  # noqa: FBT003 - its only form
    return made


class Crowd:
    """Fast and slow sockets of one user."""

    def __init__(self, api: Api, client: Client, project: str) -> None:
        self._base, self._project = api.base, project
        self._token = client.headers["Authorization"].removeprefix("Bearer ")
        self._lock = asyncio.Semaphore(AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []
        self.late_ms: list[float] = []
        self.ended = 0
        """Fast sockets that the server ended."""

    async def add(self, session: ClientSession, *, slow: bool) -> None:
        """Connect one socket and join."""
        async with self._lock:
            address = f"{self._base}/socket.io/?EIO=4&transport=websocket"
            one = await session.ws_connect(address, max_msg_size=0)
            await one.receive_str()
            await one.send_str("40" + json.dumps({"token": self._token}))
            assert (await one.receive_str()).startswith("40")
            await one.send_str("420" + json.dumps(["join", {"projectId": self._project}]))
            answer = await one.receive_str()
            assert answer == '430[{"ok":true}]', answer
        if slow:
            assert one._conn  # noqa: SLF001 - there is no public way to read nothing
            one._conn.transport.pause_reading()  # type: ignore[union-attr]  # noqa: SLF001 - as above
            self._tasks.append(asyncio.create_task(asyncio.sleep(3600, one)))  # type: ignore[arg-type]  # it keeps it
        else:
            self._tasks.append(asyncio.create_task(self._read(one)))

    async def _read(self, one: ClientWebSocketResponse) -> None:
        async for message in one:
            now, text = time.perf_counter(), message.data
            if text == "2":
                await one.send_str("3")
            elif "bench.event" in text[:20]:
                begin = text.index('"at":') + 5
                self.late_ms.append((now - float(text[begin : text.index(",", begin)])) * 1000)
        self.ended += 1

    async def leave(self) -> None:
        """Let all go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def publish(client: Client, api: Api, room: str, events: int) -> tuple[list[float], float]:
    """Publish at a steady pace; return how long each call took in ms, and the most memory in MiB."""
    took, most = [], 0.0
    for _ in range(events):
        due = time.perf_counter() + 1 / PER_S
        answer = await client.post("/bench/publish", {"room": room, "size": BYTES})
        assert answer.status == 200, answer  # noqa: PLR2004 - OK
        took.append(answer.json["ms"])
        most = max(most, api.rss_mib())
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.sleep(2)
    return took, most


def cuts(api: Api) -> list[int]:
    """Return of every socket that was cut how many packets waited."""
    lines = (json.loads(line) for line in api.log.read_text().splitlines() if "slow_client_cut" in line)
    return [line["packets"] for line in lines]


async def measure(house: House, sockets: int) -> int:
    """Connect, publish, look; return the exit code."""
    api, slow = house.api("server"), sockets // 5
    await api.start()
    async with caller(api) as client:
        project = (await client.post("/api/workbench/projects", {"name": "Crowd"})).json["id"]
        crowd, room, before = Crowd(api, client, project), f"project:{project}", api.rss_mib()
        options = {"timeout": ClientTimeout(None)}
        async with (
            ClientSession(connector=TCPConnector(limit=0), **options) as fast,  # type: ignore[arg-type]  # as its own
            ClientSession(connector=TCPConnector(limit=0, socket_factory=narrow), **options) as lame,  # type: ignore[arg-type]  # as above
        ):
            await asyncio.gather(*(crowd.add(fast, slow=False) for _ in range(sockets - slow)))
            connected = api.rss_mib()
            await asyncio.sleep(3)
            await client.post("/bench/lags")
            await publish(client, api, room, CALM)
            calm, crowd.late_ms = crowd.late_ms, []
            idle = (await client.post("/bench/lags")).json["ms"]
            await asyncio.gather(*(crowd.add(lame, slow=True) for _ in range(slow)))
            took, most = await publish(client, api, room, EVENTS)
            lags = (await client.post("/bench/lags")).json["ms"]
            cut = cuts(api)
            await crowd.leave()
    wanted = EVENTS * (sockets - slow)
    print(
        f"{sockets} sockets, {slow} of them read nothing; {EVENTS} events of {BYTES} bytes, {PER_S} a second"
    )
    for name, late, lag in (("fast alone", calm, idle), ("with the slow", crowd.late_ms, lags)):
        shown = f"p50 {statistics.median(late):.1f}, p99 {at_most(late, 99):.1f}, longest {max(late):.0f} ms"
        print(
            f"{name}: {len(late)} received, {shown}; the server's timers p99 {at_most(lag, 99):.1f} ms late"
        )
    print(f"publish: p99 {at_most(took, 99):.2f} ms, longest {max(took):.2f} ms")
    print(
        f"cut: {len(cut)}, at {min(cut, default=0)} to {max(cut, default=0)} packets; fast ones ended {crowd.ended}"
    )
    print(f"memory: {before:.0f} MiB, with the fast {connected:.0f}, at most {most:.0f} MiB")
    return told(
        {
            f"every event reaches every fast socket ({wanted})": len(crowd.late_ms) == wanted
            and not crowd.ended,
            f"p99 within {P99_MS:.0f} ms": at_most(crowd.late_ms, 99) <= P99_MS,
            "all slow ones cut at 100 packets or 1 MB": len(cut) == slow
            and all(n <= PACKETS and n * BYTES < QUEUED_BYTES + 10 * BYTES for n in cut),
            f"publish within {PUBLISH_MS:.0f} ms": max(took) <= PUBLISH_MS,
            f"memory +{RSS_MIB:.0f} MiB at most": most - before <= RSS_MIB,
        }
    )


async def main(sockets: int) -> int:
    """Run and print; return 1 when a promise was not kept."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    async with House.of(STUDIO_SOCKETIO__PER_USER="5000", STUDIO_LOGGING__LEVEL="info") as house:
        house.install("bench", PLUGIN)
        return await measure(house, sockets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=1000)
    sys.exit(asyncio.run(main(parser.parse_args().sockets)))
