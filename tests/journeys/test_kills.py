"""A film of 24 shots while the server, its database and its cache are killed, and when it is asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import pytest
import socketio
from aiohttp import ClientError, ClientTimeout

pytestmark = pytest.mark.child
PARTS = {"mp4", "srt", "vtt", "ass", "otio", "edl", "fcpxml"}


class Listener:
    """A Socket.IO client and an event stream of one project; both come back by themselves."""

    def __init__(self, film, base):
        self._film, self._base = film, base
        self.connected, self.streams, self.heard = 0, 0, {"socket": [], "stream": []}

    @asynccontextmanager
    async def listening(self):
        socket = socketio.AsyncClient(reconnection_delay=0.2, reconnection_delay_max=0.5)
        socket.on("connect", self._joined(socket))
        socket.on("assetGenResponse", lambda data, *_: self.heard["socket"].append(data))
        token = self._film.client.headers["Authorization"].removeprefix("Bearer ")
        await socket.connect(self._base, auth={"token": token}, transports=["websocket"])
        stream = asyncio.create_task(self._stream())
        try:
            yield self
        finally:
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)
            await socket.shutdown()

    def _joined(self, socket):
        async def joined():
            answer = await socket.call("join", {"projectId": self._film.project["id"]}, timeout=10)
            assert answer == {"ok": True}
            self.connected += 1

        return joined

    async def _stream(self):
        client, seen = self._film.client, ""
        while True:
            try:
                headers = client.headers | ({"Last-Event-ID": seen} if seen else {})
                async with client._session.get(
                    f"{self._base}/api/events?project={self._film.project['id']}",
                    headers=headers,
                    timeout=ClientTimeout(total=None, sock_read=30),
                ) as answer:
                    assert answer.status == 200
                    self.streams += 1
                    async for line in answer.content:
                        name, _, value = line.decode().strip().partition(": ")
                        seen = value if name == "id" else seen
                        if name == "event":
                            self.heard["stream"].append(value)
            except ClientError:
                await asyncio.sleep(0.2)

    async def back(self, times):
        """Wait until both have connected so many times."""
        async with asyncio.timeout(80):
            while self.connected < times or self.streams < times:
                await asyncio.sleep(0.05)


def share(jobs):
    return sum(job["state"] == "succeeded" for job in jobs) / len(jobs)


def rendered(percent):
    return lambda jobs: jobs[0]["progress"]["pct"] >= percent


async def killed_and_back(installation, name):
    """Kill the embedded server `name` and wait until another process has taken its place."""
    before = installation.server_pid(name)
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(60):
        while installation.server_pid(name) == before:
            await asyncio.sleep(0.02)


async def test_a_film_survives_the_death_of_server_database_and_cache(installation, film, ledger):
    book = ledger(film.client, film.story["id"])
    async with book.writing(), Listener(film, installation.base).listening() as listener:
        await takes_survive(installation, film)
        whole = await film_survives_the_server(installation, film, listener)
        await film_survives_database_and_cache(installation, film, whole)
    assert await book.lost() == set()
    assert len(book.kept) > 50
    assert book.refused > 0, "the writer has not noticed any of the kills"
    print(f"{len(book.kept)} writes acknowledged, {book.refused} refused, none lost")
    assert {job["state"] for job in await film.jobs(film.orders)} == {"succeeded"}


async def takes_survive(installation, film):
    """Panels, voices and music while the database, then the cache dies: every slot has one take."""
    ids = await film.batch("panels", "voices", "music")
    await film.until(ids, lambda jobs: share(jobs) > 0.2, 30)
    await killed_and_back(installation, "database")
    await film.until(ids, lambda jobs: share(jobs) > 0.5, 40)
    await killed_and_back(installation, "cache")
    await film.done(ids, 60)
    takes = await film.takes()
    assert len(takes) == len(ids) == 24 + 16 + 1
    assert set(takes.values()) == {1}
    assert await film.batch("panels", "voices", "music") == [], "every slot points at its take"


async def film_survives_the_server(installation, film, listener):
    """Kill -9 in the middle of a render of 24 shots; who listened learns the rest from REST."""
    timeline = await film.timeline()
    job_id = await film.render(timeline)
    await film.until([job_id], rendered(20), 30)
    heard = {name: len(events) for name, events in listener.heard.items()}
    assert all(heard.values()), heard
    streams = listener.streams
    await installation.kill()
    again_s = await installation.start()
    await listener.back(streams + 1)
    jobs = await film.done([job_id], 60)
    print(f"ready {again_s:.1f} s after kill -9 in a render; the film took {jobs[0]['attempt']} attempt(s)")
    assert "resync" in listener.heard["stream"], "a gap is told, so that the client asks REST"
    assert len(listener.heard["socket"]) > heard["socket"]
    assert await outputs(film, timeline) == PARTS
    assert jobs[0]["attempt"] == 1
    assert (await film.export(timeline, "mp4"))[4:8] == b"ftyp"
    return timeline


async def film_survives_database_and_cache(installation, film, whole):
    """The same for the other two, in one render each; the film made before stays as it is."""
    for name, scenes in (("database", "1-3"), ("cache", "4-6")):
        timeline = await film.timeline(scenes)
        job_id = await film.render(timeline, burnSubtitles=False)
        await film.until([job_id], rendered(20), 30)
        await killed_and_back(installation, name)
        await film.done([job_id], 60)
        assert await outputs(film, timeline) == PARTS
    assert await outputs(film, whole) == PARTS


async def outputs(film, timeline):
    """Return the formats of a timeline's takes, each of which must be there once."""
    mine = {slot: n for (owner, slot), n in (await film.takes()).items() if owner == timeline["id"]}
    assert set(mine.values()) == {1}
    return set(mine)


async def test_sigterm_in_the_middle_of_work_ends_everything_and_loses_nothing(
    installation, film, still_alive
):
    panels = await film.batch("panels", scenes="1-4")
    await film.until(panels, lambda jobs: share(jobs) >= 0.3, 30)
    timeline = await film.timeline("1-4")  # which panels are there first, nobody promises
    job_id = await film.render(timeline)
    await film.until([job_id], lambda jobs: jobs[0]["state"] == "submitted", 20)
    family = installation.family()
    assert len(family) >= 4, "database, cache, and somebody who draws or encodes"
    code, seconds = await installation.terminate()
    print(f"SIGTERM with {len(family)} children: exit {code} after {seconds:.1f} s")
    assert (code, still_alive(family)) == (0, set())
    assert seconds < 25
    assert "Traceback" not in installation.log
    await installation.start()
    await film.done([*panels, job_id], 60)
    assert set((await film.takes()).values()) == {1}
