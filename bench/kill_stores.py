"""kill -9 of the database and of the cache: `python bench/kill_stores.py [--rounds 20]`, ten seconds each of both.

Two `studio serve` on one database and one cache. A client writes shots with an `Idempotency-Key` at one server, and
repeats each until it has its answer; others read a story, `/healthz` and `/readyz` ten times a second, and listen to
the project's event stream of the other server. In each round the database, then the cache is killed, stays away
for one to four seconds, and comes back on its port (the cache empty).

Promised while the database is away: 503 problem+json within 2 s, liveness 200, readiness 503; answers again within
5 s of its return; no acknowledged write lost, none twice. While the cache is away: everything is answered, nothing
takes more than 1 s longer, and within 5 s of its return the other server's stream hears events again.
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
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientTimeout
from house import House, at_most, caller, session_of, told
from kill_server import Pair, Set, compare

if TYPE_CHECKING:
    from house import Api

WITHIN_S, BACK_S, MORE_S, PACE_S, CALM_S, GIVE_UP_S = 2.0, 5.0, 1.0, 0.1, 2.0, 30.0
OK, AWAY = 200, 503


@dataclass(frozen=True, slots=True)
class Seen:
    """One question: which, when it was asked, how long it took, and the answer (0: none)."""

    what: str
    asked: float
    seconds: float
    status: int
    type: str = ""


@dataclass
class Watch:
    """All that was asked, and when the stream heard something."""

    api: Api
    headers: dict[str, str]
    story: str
    seen: list[Seen] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, session: Any, what: str, path: str) -> None:
        """Ask one address until the end."""
        while not self.stop.is_set():
            asked, status, kind = time.perf_counter(), 0, ""
            with suppress(ClientError, TimeoutError):
                async with session.get(self.api.base + path, headers=self.headers) as answer:
                    await answer.read()
                    status, kind = answer.status, answer.content_type
            self.seen.append(Seen(what, asked, time.perf_counter() - asked, status, kind))
            await asyncio.sleep(PACE_S)

    async def listen(self, session: Any, other: Api, project: str) -> None:
        """Listen to the other server's stream, and come back when it ends."""
        url = f"{other.base}/api/events?project={project}"
        while not self.stop.is_set():
            with suppress(ClientError, TimeoutError):
                async with session.get(
                    url, headers=self.headers, timeout=ClientTimeout(None, sock_read=30)
                ) as answer:
                    async for line in answer.content:
                        if line.startswith(b"event: ") and b"resync" not in line:
                            self.heard.append(time.perf_counter())
                        if self.stop.is_set():
                            return
            await asyncio.sleep(0.1)

    def of(self, what: str, begin: float, end: float) -> list[Seen]:
        """Return what was asked, and answered, between two moments."""
        return [one for one in self.seen if one.what == what and begin <= one.asked <= end - one.seconds]

    def back(self, since: float) -> float:
        """Return how long after `since` the first good answer came; GIVE_UP_S if none did."""
        good = [
            one.asked + one.seconds - since for one in self.seen if one.what == "read" and one.status == OK
        ]
        return min((seconds for seconds in good if seconds > 0), default=GIVE_UP_S)

    def again(self, since: float) -> float:
        """Return how long after `since` the stream heard something; GIVE_UP_S if it did not."""
        return min((at - since for at in self.heard if at > since), default=GIVE_UP_S)


async def write(pair: Pair, place: Set, apis: list[Api], stop: asyncio.Event) -> None:
    """Write one shot after the other."""
    for number in itertools.count():
        if stop.is_set():
            return
        await pair.write(apis[0], place.orders(f"store {number}")[3])
        await asyncio.sleep(PACE_S)


async def away(name: str, house: House, chance: random.Random, watch: Watch) -> tuple[float, float]:
    """Kill one server and bring it back; return both moments."""
    await asyncio.sleep(CALM_S)
    server = house.database if name == "database" else house.cache
    killed = time.perf_counter()
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(chance.uniform(1.0, 4.0))
    await asyncio.to_thread(house.restart_database if name == "database" else house.restart_cache)
    back = time.perf_counter()
    with suppress(TimeoutError):  # then the figures tell
        async with asyncio.timeout(GIVE_UP_S):
            while watch.back(back) >= GIVE_UP_S or watch.again(back) >= GIVE_UP_S:
                await asyncio.sleep(0.05)
    return killed, back


class Result:
    """What the rounds showed, database and cache apart."""

    def __init__(self) -> None:
        self.refused: list[float] = []
        self.alive: list[Seen] = []
        self.back: dict[str, list[float]] = {"database": [], "cache": []}
        self.calm: list[float] = []
        self.slow: list[float] = []
        self.heard: list[float] = []
        self.wrong: Counter[str] = Counter()

    def database(self, watch: Watch, killed: float, back: float) -> None:
        """Take in a round of the database. A question of the very moment of the kill may have its good answer."""
        for one in watch.of("read", killed + 0.1, back):
            self.refused.append(one.seconds)
            if (one.status, one.type) != (AWAY, "application/problem+json"):
                self.wrong[f"read: {one.status} {one.type}"] += 1
        for one in watch.of("alive", killed, back):
            self.alive.append(one)
            self.wrong[f"liveness {one.status}"] += one.status != OK
        for one in watch.of("ready", killed + 0.1, back):
            self.wrong[f"readiness {one.status}"] += one.status != AWAY
        self.back["database"].append(watch.back(back))

    def cache(self, watch: Watch, killed: float, back: float) -> None:
        """Take in a round of the cache."""
        self.calm += [one.seconds for one in watch.of("read", killed - CALM_S, killed)]
        for one in watch.of("read", killed, back):
            self.slow.append(one.seconds)
            self.wrong[f"read without a cache: {one.status}"] += one.status != OK
        self.back["cache"].append(watch.back(back))
        self.heard.append(watch.again(back))

    def report(self, found: dict[str, int], pair: Pair) -> int:
        """Print it; return the exit code."""
        usual, wrong = statistics.median(self.calm), {k: n for k, n in self.wrong.items() if n}
        back = self.back["database"]
        print(f"{len(pair.told)} told: {found['lost']} lost, {found['twice']} twice; {dict(pair.refusals)}")
        print(f"database away: {len(self.refused)} refusals, {shown(self.refused)}; back after {shown(back)}")
        print(
            f"cache away: reads {shown(self.calm)} before, {shown(self.slow)} without; events after {shown(self.heard)}"
        )
        print(f"wrong answers: {wrong}")
        return told(
            {
                "0 lost, 0 twice": not found["lost"] and not found["twice"],
                "only 503 problem+json, liveness 200, readiness 503; with no cache only 200": not wrong,
                f"refusals within {WITHIN_S:.0f} s": max(self.refused) <= WITHIN_S,
                f"answers {BACK_S:.0f} s after the database's return": max(self.back["database"]) <= BACK_S,
                f"no read {MORE_S:.0f} s longer without a cache": max(self.slow) <= usual + MORE_S,
                f"events {BACK_S:.0f} s after the cache's return": max(self.heard) <= BACK_S,
            }
        )


def shown(seconds: list[float]) -> str:
    """Return median, p99 and longest in words."""
    return f"median {statistics.median(seconds):.3f}, p99 {at_most(seconds, 99):.3f}, longest {max(seconds):.2f} s"


async def main(rounds: int) -> int:
    """Run and print; return 1 when a promise was not kept."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {rounds} rounds")
    chance, result = random.Random(3), Result()
    async with House.of() as house:
        api, other = house.api("one"), house.api("two")
        await api.start()
        await other.start()
        async with caller(api) as client, session_of(10) as session:
            place = Set()
            await place.make(client)
            pair, watch = Pair(session, [api, api], client.headers), Watch(api, client.headers, place.story)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(write(pair, place, [api], watch.stop))
                tasks.create_task(watch.ask(session, "read", f"/api/stories/{place.story}"))
                tasks.create_task(watch.ask(session, "alive", "/healthz"))
                tasks.create_task(watch.ask(session, "ready", "/readyz"))
                tasks.create_task(watch.listen(session, other, place.project))
                for number in range(rounds):
                    result.database(watch, *await away("database", house, chance, watch))
                    result.cache(watch, *await away("cache", house, chance, watch))
                    print(f"round {number + 1}: {len(pair.told)} writes told", flush=True)
                watch.stop.set()
            found = compare(house, pair, list(pair.told))
    return result.report(found, pair)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    sys.exit(asyncio.run(main(parser.parse_args().rounds)))
