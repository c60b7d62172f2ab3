"""kill -9 of one of two servers inside writes: `python bench/kill_server.py [--kills 200]`, some seven seconds a kill.

Two `studio serve` on one database and one cache; the client goes to the other one when its own does not answer.
In each round seven writes with an `Idempotency-Key` (project, story, scene, shot, character, location, prop) are
sent to the victim, which is killed at a random moment of the 50 ms after; those that got no answer are repeated,
same key, at whoever answers, until they have one. Beside it a calm client writes twice a second.

At the end every "yes" is compared with the database: an acknowledged object that is not there is lost, a key with
more than one object has a duplicate. The error window is the longest that a calm write waited for its answer; those
that were cut off themselves count with the others that were, for whom it takes 5 s until their server counts as
dead. Source of the method: Jepsen's ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import statistics
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError
from house import House, at_most, caller, session_of, told
from pymongo import MongoClient

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from house import Api

GIVE_UP_S, PAUSE_S, CALM_S, WITHIN_S = 600.0, 0.05, 0.5, 0.05
WINDOW_S, READY_S = 1.0, 3.0
LEAN = "activity,auth,free,idempotency,limits,local,mailer,projects,rbac,stories"
REFUSED = (409, 429, 502, 503)
"""Answers that say: nothing was done, or ask again."""
SCRIPT = "INT. {name} - NIGHT\n\nA lamp.\n\nMARA\nWho is there?\n"
PLACES = {
    "projects": ("studio", "name"),
    "stories": ("stories", "title"),
    "scenes": ("stories", "synopsis"),
    "shots": ("stories", "description"),
    "characters": ("stories", "name"),
    "locations": ("stories", "name"),
    "props": ("stories", "name"),
}


class Pair:
    """A client of two servers, and the ledger of what it was told."""

    def __init__(self, session: ClientSession, apis: list[Api], headers: dict[str, str]) -> None:
        self._session, self._apis, self._headers = session, apis, headers
        self.told: dict[tuple[str, str], str] = {}
        """(collection, name) → id of every object that was acknowledged."""
        self.cut, self.answered = 0, 0
        self.waits: list[float] = []
        self.refusals: Counter[str] = Counter()
        self.broken: set[str] = set()
        """Keys whose first request was cut off after it had begun."""

    async def write(self, first: Api, order: tuple[str, str, str, dict[str, Any]]) -> float:
        """Send one write until it has its answer, first to `first`; return the seconds that took."""
        kind, name, path, body = order
        began, at = time.perf_counter(), self._apis.index(first)
        headers = self._headers | {"Idempotency-Key": name}
        said = "nothing"
        while True:
            pause = PAUSE_S
            url = self._apis[at % 2].base + path
            try:
                async with self._session.post(url, json=body, headers=headers) as answer:
                    found = await answer.json()
                    if answer.status == 201:  # noqa: PLR2004 - made
                        self._note(kind, name, found["id"])
                        return time.perf_counter() - began
                    assert answer.status in REFUSED, (answer.status, found)
                    self.refusals[said := found["code"]] += 1
                    if said == "idempotency_in_progress":
                        self.broken.add(name)
                    pause = float(answer.headers.get("Retry-After", PAUSE_S))
            except (ClientError, TimeoutError):
                at += 1
            assert time.perf_counter() - began < GIVE_UP_S, f"{order}: at last {said}; {self.refusals}"
            await asyncio.sleep(pause)

    def _note(self, kind: str, name: str, document_id: str) -> None:
        known = self.told.setdefault((kind, name), document_id)
        assert known == document_id, f"{kind} {name} was told as {known} and as {document_id}"

    async def hit(self, victim: Api, order: tuple[str, str, str, dict[str, Any]]) -> None:
        """Write through the death of the victim."""
        try:
            headers = self._headers | {"Idempotency-Key": order[1]}
            url = victim.base + order[2]
            async with self._session.post(url, json=order[3], headers=headers) as answer:
                found = await answer.json()
                assert answer.status == 201, found  # noqa: PLR2004 - made
                self._note(order[0], order[1], found["id"])
                self.answered += 1
        except (ClientError, TimeoutError):
            self.cut += 1
            other = next(api for api in self._apis if api is not victim)
            self.waits.append(await self.write(other, order))


class Set:
    """What all writes hang on: one project with a story and a scene."""

    project: str
    story: str
    scene: str

    async def make(self, client: Any) -> None:
        project = await client.post("/api/workbench/projects", {"name": "Kills"})
        self.project = project.json["id"]
        body = {"projectId": self.project, "text": SCRIPT.format(name="SET"), "title": "Set"}
        story = await client.post("/api/stories", body)
        self.story = story.json["id"]
        scenes = await client.get(f"/api/stories/{self.story}/scenes")
        self.scene = scenes.json[0]["id"]

    def orders(self, mark: str) -> list[tuple[str, str, str, dict[str, Any]]]:
        """Return one write of every kind as (collection, name and key, path, body)."""
        heading = {"intExt": "INT", "locationName": "SET", "timeOfDay": "NIGHT"}
        under = f"/api/stories/{self.story}"
        text = SCRIPT.format(name="ROOM")
        found: list[tuple[str, str, dict[str, Any]]] = [
            ("projects", "/api/workbench/projects", {"name": ""}),
            ("stories", "/api/stories", {"projectId": self.project, "text": text, "title": ""}),
            ("scenes", f"{under}/scenes", {"heading": heading, "synopsis": ""}),
            ("shots", f"/api/stories/scenes/{self.scene}/shots", {"description": ""}),
            ("characters", f"{under}/characters", {"name": ""}),
            ("locations", f"{under}/locations", {"name": ""}),
            ("props", f"{under}/props", {"name": ""}),
        ]
        return [(k, f"{k} {mark}", p, b | {PLACES[k][1]: f"{k} {mark}"}) for k, p, b in found]


def compare(house: House, pair: Pair, names: list[tuple[str, str]]) -> dict[str, int]:
    """Return how many acknowledged objects are missing, and how many keys have more than one."""
    lost, twice, halves = [], [], 0
    with MongoClient(house.database.url) as client:
        for kind, (database, field) in PLACES.items():
            found = list(client[database][kind].find({}, {field: 1}))
            counts = Counter(doc.get(field) for doc in found)
            ids = {doc["_id"]: doc.get(field) for doc in found}
            lost += [key for key, made in pair.told.items() if key[0] == kind and ids.get(made) != key[1]]
            twice += [(kind, name) for k, name in names if k == kind and counts[name] > 1]
        stories = {doc["_id"] for doc in client["stories"]["stories"].find({}, {"_id": 1})}
        mine = {made for (kind, _), made in pair.told.items() if kind == "stories"}
        per_story = Counter(doc["story_id"] for doc in client["stories"]["scenes"].find({}, {"story_id": 1}))
        halves = sum(per_story[story] != 1 for story in mine) + len(per_story.keys() - stories)
    for name, found in (("lost", lost), ("twice", twice)):
        if found:
            print(f"{name}: {found[:10]}")
    return {"lost": len(lost), "twice": len(twice), "halves": halves}


async def calm(pair: Pair, apis: list[Api], place: Set, waits: list[float], stop: asyncio.Event) -> None:
    """Write at a steady pace, alternating between the servers; note how long each took."""

    async def one(number: int) -> None:
        order = place.orders(f"calm {number}")[-1]
        seconds = await pair.write(apis[number % 2], order)
        (pair.waits if order[1] in pair.broken else waits).append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for number in itertools.count():
            if stop.is_set():
                return
            tasks.create_task(one(number))
            await asyncio.sleep(CALM_S)


async def rounds(
    kills: int, minutes: float, pair: Pair, place: Set, apis: list[Api]
) -> tuple[list[float], list[float], list[str]]:
    """Kill, repeat, start again; return the starts' seconds, of the wall and of CPU, and the names of all rounds."""
    chance, starts, spent, marks = random.Random(7), list[float](), list[float](), list[str]()
    give_up = time.monotonic() + minutes * 60
    for number in range(kills):
        if time.monotonic() > give_up:
            break
        victim, mark = apis[number % 2], f"kill {number}"
        marks.append(mark)
        writes = [asyncio.create_task(pair.hit(victim, order)) for order in place.orders(mark)]
        await asyncio.sleep(chance.uniform(0.0, WITHIN_S))
        await victim.kill()
        starts.append(await victim.start())
        spent.append(victim.cpu_s())
        await asyncio.gather(*writes)
        if number % 10 == 9:  # noqa: PLR2004 - so that one sees it go on
            print(
                f"{number + 1} kills, {pair.cut} writes cut off, {pair.answered} answered before", flush=True
            )
    return starts, spent, marks


async def main(kills: int, minutes: float, *, lean: bool) -> int:
    """Run and print; return 1 when a promise was not kept."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {kills} kills")
    more = {"STUDIO_PLUGINS__ENABLED": LEAN, "STUDIO_JOBS__WORKER": "false"} if lean else {}
    async with House.of(STUDIO_PLUGINS__RECOVERY_AFTER="0", **more) as house:
        apis = [house.api("one"), house.api("two")]
        for api in apis:
            await api.start()
        async with caller(apis[0]) as client, session_of(10) as session:
            place = Set()
            await place.make(client)
            pair, waits, stop = Pair(session, apis, client.headers), list[float](), asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(calm(pair, apis, place, waits, stop))
                starts, spent, marks = await rounds(kills, minutes, pair, place, apis)
                stop.set()
        names = [(k, f"{k} {mark}") for mark in marks for k in PLACES] + list(pair.told)
        found = compare(house, pair, list(dict.fromkeys(names)))
    longest = max(waits)
    print(
        f"{len(starts)} kills: {pair.cut} writes cut off, {pair.answered} answered; refusals {dict(pair.refusals)}"
    )
    print(f"{len(pair.told)} told: {found['lost']} lost, {found['twice']} twice, {found['halves']} halves")
    print(
        f"{len(waits)} calm: p50 {at_most(waits, 50):.3f}, p99 {at_most(waits, 99):.3f}, longest {longest:.2f} s"
    )
    if pair.waits:
        shown = statistics.median(pair.waits), max(pair.waits)
        print(f"cut-off writes had their answer after {shown[0]:.2f} s, the last after {shown[1]:.2f} s")
    print(f"ready after {statistics.median(starts):.2f} s ({min(starts):.2f} to {max(starts):.2f}),", end=" ")
    print(f"CPU {statistics.median(spent):.2f} s ({min(spent):.2f} to {max(spent):.2f})")
    return told(
        {
            "0 lost, 0 twice, 0 halves": not any(found.values()),
            f"error window at most {WINDOW_S:.0f} s": longest <= WINDOW_S,
            f"ready again within {READY_S:.0f} s (median)": statistics.median(starts) <= READY_S,
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument(
        "--minutes", type=float, default=120.0, help="end after so long, whatever was reached"
    )
    parser.add_argument(
        "--lean", action="store_true", help="only the plugins that it needs: starts are quicker"
    )
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.kills, options.minutes, lean=options.lean)))
