"""Works on what is due in one collection: each document once at a time, and at most one of each lane.

A document takes part with `next_at` (UTC ms; 0: nothing to do), `attempts` and `lane`. A claim compares and
sets by `_id` and holds for a lease; what a dead process had claimed is begun anew when that ends.
Lanes keep a slow endpoint, or a job with many calls, from taking every place.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from studio import Doc, StudioError, new_id, now_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from studio import PluginContext, Repository

    Change = Mapping[str, Any]

PAGE, DEATHS = 50, 3
OWN_FIELDS = ("attempts", "deaths", "lane", "next_at", "token")
FIGURES_S, STOP_S = 15.0, 1.5
DIED = f"The process that worked on it died {DEATHS} times."


class Worker:
    """Hands due documents to `handle`, which returns how the document changes; `limit` at a time.

    `fields` names what `handle` reads; without any it gets the whole document.
    """

    def __init__(
        self,
        ctx: PluginContext,
        collection: str,
        handle: Callable[[Doc], Awaitable[Change]],
        *,
        limit: int,
        lease_s: float,
        scan_s: float,
        fields: Sequence[str] = (),
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._ctx, self._collection, self._handle, self._clock = ctx, collection, handle, clock
        self._limit, self._lease_ms, self._scan_s = limit, int(lease_s * 1000), scan_s
        self._fields = (*fields, *OWN_FIELDS) if fields else ()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._rung, self._stopping = asyncio.Event(), False
        self.waiting = self.dead = 0
        """How many documents wait and have come to nothing, at most 15 s ago."""

    def ring(self) -> None:
        """Look for due documents now."""
        self._rung.set()

    async def run(self) -> None:
        """Work until `stop`."""
        counted, loop = -FIGURES_S, asyncio.get_running_loop()
        while not self._stopping:
            self._rung.clear()
            try:
                await self.begin_due()
                if loop.time() - counted >= FIGURES_S:
                    await self._count()
                    counted = loop.time()
            except StudioError as error:  # the database is away: what is stored waits
                self._ctx.log.warning("webhook_scan_failed", code=error.code, detail=error.detail)
            await self._pause()

    async def stop(self) -> None:
        """Begin nothing more and give what is under way a moment; what is cut is free for others at once."""
        self._stopping = True
        self._rung.set()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=STOP_S)

    async def work_due(self) -> int:
        """Work on everything that is due and return how many documents that were; for tests."""
        done = 0
        while begun := await self.begin_due():
            done += begun
            if self._running:
                await asyncio.wait(self._running.values())
        return done

    async def begin_due(self) -> int:
        """Begin with what is due while there are free places; returns how many were begun."""
        begun, fresh = 0, True
        while fresh and not self._stopping and len(self._running) < self._limit:
            fresh = False
            for document in await self._due():
                if len(self._running) < self._limit and await self._begin(document):
                    begun, fresh = begun + 1, True
        return begun

    async def _due(self) -> list[Doc]:
        """Return one due document of each lane that nobody works in here."""
        where: Doc = {"next_at": {"$gt": 0, "$lte": self._clock()}, "lane": {"$nin": list(self._running)}}
        found = await self._repository.find(where, sort=[("next_at", 1)], limit=PAGE, fields=self._fields)
        lanes: dict[str, Doc] = {}
        for document in found:
            document.setdefault("lane", document["_id"])  # one of another version ends no loop of others
            lanes.setdefault(document["lane"], document)
        return list(lanes.values())

    async def _begin(self, found: Doc) -> bool:
        seen = {name: found.get(name) for name in ("_id", "next_at", "attempts")}
        deaths = found.get("deaths", 0) + ("token" in found)
        if deaths >= DEATHS:  # there may be something in it that kills
            dead = {"state": "dead", "next_at": 0, "error": DIED, "error_code": "process_died"}
            if await self._repository.update(seen, {"$set": dead, "$unset": {"token": "", "deaths": ""}}):
                self._ctx.log.error("webhook_kills", collection=self._collection, document_id=found["_id"])
            return False
        taken = {"token": new_id(), "next_at": self._clock() + self._lease_ms, "deaths": deaths}
        if not await self._repository.update(seen, {"$set": taken, "$inc": {"attempts": 1}}):
            return False  # another process was first
        attempts = found.get("attempts", 0) + 1
        task = self._ctx.spawn(self._work(found | taken | {"attempts": attempts}), "work")
        self._running[found["lane"]] = task
        task.add_done_callback(lambda _: self._ended(found["lane"]))
        return True

    def _ended(self, lane: str) -> None:
        del self._running[lane]
        self._rung.set()

    async def _work(self, document: Doc) -> None:
        mine = {"_id": document["_id"], "token": document["token"]}
        free: Doc = {"$unset": {"token": "", "deaths": ""}}
        try:
            change = await self._handle(document)
            unset = {**free["$unset"], **change.get("$unset", {})}
            await self._repository.update(mine, {**change, "$unset": unset})
        except StudioError as error:  # the lease ends, and then it is tried again
            self._ctx.log.warning("webhook_work_failed", code=error.code, detail=error.detail)
        except asyncio.CancelledError:
            with suppress(StudioError):
                await self._repository.update(mine, free | {"$set": {"next_at": self._clock()}})
            raise

    async def _count(self) -> None:
        self.waiting = await self._repository.count({"next_at": {"$gt": 0}})
        self.dead = await self._repository.count({"state": "dead"})

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._scan_s):
                await self._rung.wait()

    @property
    def _repository(self) -> Repository:
        return self._ctx.database[self._collection]
