"""The job document and how it is changed: from the state it was read in, fenced, and told to everybody.

`state_seq` rises with every transition and stands in every filter, so it is the fencing token too. `next_at`
is when the scanner has to look: the end of the lease (`lease_owner`), the next poll, an open bill; without it
nothing is left to do. Leases compare wall clocks, which may jump: one that ran out must also stand still
for a heartbeat of the observer's monotonic clock. That of a dead process on this host is free at once.

No `find_and_update`: the embedded SecantusDB reads the whole collection for it (50 ms at 4,000 jobs).
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from studio.database.contract import Collection, Index
from studio.errors import StudioError, UnavailableError
from studio.jobs.contract import CostSettlement
from studio.jobs.cost import settle_cost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from studio.database.contract import Database
    from studio.dispatch import Dispatcher
    from studio.jobs.cost import Bill
    from studio.jobs.settings import JobsSettings
    from studio.model import Doc

JOBS_COLLECTION = Collection(
    "jobs",
    indexes=(  # an ordinary job is in three; with "$exists" for "$gt" SecantusDB uses none
        Index((("next_at", 1),), partial={"next_at": {"$gt": 0}}),
        Index((("project_id", 1), ("_id", -1))),
        Index(
            (("provider", 1), ("provider_job_id", 1)), unique=True, partial={"provider_job_id": {"$gt": ""}}
        ),
        Index((("project_id", 1), ("dedupe_hash", 1)), unique=True, partial={"dedupe_active": True}),
        Index(
            (("user_id", 1), ("idempotency_key", 1)), unique=True, partial={"idempotency_key": {"$gt": ""}}
        ),
        Index((("batch_id", 1), ("_id", 1)), partial={"batch_id": {"$gt": ""}}),
    ),
)
_TRANSIENT = ("lease_owner", "generation", "dedupe_active")
SETTLE_AGAIN_MS = 60_000
SEEN = 1_000
"""How many leases that ran out are watched at once; the scanner asks for 100 jobs at a time."""


class JobStore:
    """Reads and changes job documents; `clock` is UTC ms."""

    def __init__(
        self, database: Database, dispatcher: Dispatcher, settings: JobsSettings, clock: Callable[[], int]
    ) -> None:
        self.jobs = database["jobs"]
        self.dispatcher, self.now = dispatcher, clock
        self.observe: Callable[[str, str, float], object]
        """Hears of a job that has ended: its kind, its state, the seconds since it was ordered."""
        self.owner = f"{_host()}:{os.getpid()}:{_started(os.getpid())}"
        self._lease_s = settings.lease_s
        self._seen: dict[str, tuple[int, float]] = {}

    def leased(self) -> Doc:
        """Return the fields that give a job to this process."""
        return {"lease_owner": self.owner, "next_at": self.now() + int(self._lease_s * 1000)}

    async def change(
        self, job: Doc, state: str, fields: Doc, *, unset: tuple[str, ...] = (), waits: tuple[float, ...] = ()
    ) -> Doc | None:
        """Move on from exactly what `job` was read as; None: somebody was first. Repeats after `waits`."""
        where = {"_id": job["_id"], "state": job["state"], "state_seq": job["state_seq"]}
        update = {"$set": {**fields, "state": state}, "$inc": {"state_seq": 1}}
        if unset:
            update["$unset"] = dict.fromkeys(unset, "")
        for wait in (*waits, None):
            try:
                matched = await self.jobs.update(where, update)
                break
            except UnavailableError:
                if wait is None:
                    raise
                await asyncio.sleep(wait)
        if not matched:
            return None
        after = {**job, **fields, "state": state, "state_seq": job["state_seq"] + 1}
        after = {key: value for key, value in after.items() if key not in unset}
        if "finished_at" in after and "finished_at" not in job:
            self.observe(after["kind"], state, (after["finished_at"] - after["created_at"]) / 1000)
        self.tell(after)
        return after

    def tell(self, job: Doc) -> None:
        """Notify everybody of a job as it is now, without waiting for anybody."""
        self.dispatcher.notify("job_changed", job)

    async def end(self, job: Doc, state: str, bill: Bill, fields: Doc, *, owned: bool = False) -> Doc | None:
        """Write a terminal state and settle; who has `owned` the job may settle first and save a write."""
        settled = owned and await settle_cost(self.dispatcher, CostSettlement(job["_id"], **bill))
        fields = {**fields, "finished_at": job.get("finished_at", self.now())}
        if bill["kind"] == "capture":
            fields |= {"cost_uusd": bill["amount_uusd"], "cost_source": bill["source"]}
        if not settled:
            fields |= {"bill": bill, "next_at": self.now()}
        after = await self.change(
            job, state, fields, unset=(*_TRANSIENT, "next_at") if settled else _TRANSIENT
        )
        if after is not None and not settled:
            await self.settle(after)
        return after

    async def settle(self, job: Doc) -> None:
        """Settle what a terminal job still owes; the scanner comes again while the owner of cost is away."""
        if await settle_cost(self.dispatcher, CostSettlement(job["_id"], **job["bill"])):
            change: Doc = {"$unset": {"bill": "", "next_at": ""}}
        else:
            change = {"$set": {"next_at": self.now() + SETTLE_AGAIN_MS}}
        await self.jobs.update({"_id": job["_id"], "state_seq": job["state_seq"]}, change)

    @asynccontextmanager
    async def lease(self, job: Doc) -> AsyncIterator[None]:
        """Keep renewing this process's lease of `job`."""
        task = asyncio.create_task(self._renew(job["_id"]))
        try:
            yield
        finally:
            task.cancel()

    async def give_back(self) -> None:
        """Let others take at once what this process still holds."""
        mine = {"lease_owner": self.owner, "next_at": {"$gt": 0}}
        free = {"$unset": {"lease_owner": ""}, "$set": {"next_at": self.now()}}
        await self.jobs.update(mine, free, many=True)

    async def _renew(self, job_id: str) -> None:
        """Renew until cancelled, or the lease is gone: Python 3.11 loses a cancellation that falls into the driver."""
        mine, held = {"_id": job_id, "lease_owner": self.owner}, 1
        while held:
            await asyncio.sleep(self._lease_s / 3)
            with suppress(StudioError):  # a missed beat loses no lease, two more follow before it ends
                held = await self.jobs.update(mine, {"$set": self.leased()})

    def orphaned(self, job: Doc) -> bool:
        """Say whether nobody works on `job`; ask only while it is `Machine.busy` for you."""
        owner = job.get("lease_owner")
        if owner is None or owner == self.owner or _dead(owner):
            return True
        seen, since = self._seen.pop(job["_id"], (0, 0.0))
        if job["next_at"] > self.now():
            return False
        if seen != job["next_at"]:
            since = time.monotonic()
        if time.monotonic() - since >= self._lease_s * 0.4:
            return True
        self._seen[job["_id"]] = (job["next_at"], since)
        if len(self._seen) > SEEN:  # jobs that others ended are not asked about again
            del self._seen[next(iter(self._seen))]
        return False


def _host() -> str:
    """Name where process ids mean something: the host and, on Linux, its process namespace."""
    with suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def _started(pid: int) -> str:
    """Return when a process started (ticks since boot), "" when that cannot be known. Source: proc(5)."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _dead(owner: str) -> bool:
    host, pid, started = owner.rsplit(":", 2)
    return bool(started) and host == _host() and _started(int(pid)) != started
