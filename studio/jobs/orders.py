"""Taking orders: price, insert, hold, queue; a batch in as few round trips as a single job."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from studio.errors import ConflictError, IdempotencyError, InvalidInputError, StudioError
from studio.jobs.polling import GRACE_MS
from studio.model import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studio.auth import Actor
    from studio.jobs.contract import JobOrder
    from studio.jobs.machine import Machine
    from studio.jobs.store import JobStore
    from studio.model import Doc

BATCH = 100
ORDERED = ("kind", "project_id", "target", "input", "model", "priority")
"""What of an order is the same field of its job; its `provider` is the job's `wanted`."""


def _said(order: JobOrder) -> Doc:
    return {name: getattr(order, name) for name in (*ORDERED, "provider")}


def _key_id(actor: Actor, key: str) -> str:
    """Name the document that keeps a key whose job has another; it has no `kind` and no `project_id`."""
    named = f"{actor.user_id}\0{key}".encode()
    return f"key:{hashlib.sha256(named).hexdigest()}"


class Orders:
    """The half of `Jobs` that takes orders."""

    def __init__(self, store: JobStore, machine: Machine) -> None:
        self._store, self._machine = store, machine

    async def submit(self, actor: Actor, order: JobOrder, *, idempotency_key: str | None = None) -> Doc:
        """Order one job and return it queued; the same key (per user) or active `dedupe_hash` is one job.

        A key buys one job at most and keeps it, also one that was there already, ordered under another key or by
        somebody else: repeated after that has ended, it returns it and starts nothing. Should the process end between
        finding such a job and noting the key, the key is unused. Keys stay as long as jobs do.

        Raises BudgetExceededError when refused, ProviderUnavailableError when nobody can do it,
        IdempotencyError when the key belongs to another order.
        """
        if idempotency_key is None:
            return (await self.submit_many(actor, [order]))[0]
        job, said = await self._keyed(actor, idempotency_key)
        if job is not None:
            if said != _said(order):
                raise IdempotencyError("This Idempotency-Key was used for another order: send a new one.")
            return job
        mine = {"user_id": actor.user_id, "idempotency_key": idempotency_key}
        job = (await self._order(actor, [order], mine))[0]
        if (job["user_id"], job.get("idempotency_key")) != (actor.user_id, idempotency_key):  # a twin
            note = {"$set": {"job_id": job["_id"], "order": _said(order)}}
            with suppress(ConflictError):  # the same key at the same time, noted by the other call
                await self._store.jobs.update(_key_id(actor, idempotency_key), note, upsert=True)
        return job

    async def of_key(self, actor: Actor, idempotency_key: str) -> Doc | None:
        """Return the job that a user's key stands for, whatever was ordered under it."""
        return (await self._keyed(actor, idempotency_key))[0]

    async def _keyed(self, actor: Actor, key: str) -> tuple[Doc | None, Doc]:
        """Return the job of a key, and what was ordered under it."""
        first = await self._store.jobs.find_one({"user_id": actor.user_id, "idempotency_key": key})
        if first is not None:
            return first, {name: first[name] for name in ORDERED} | {"provider": first["wanted"]}
        note = await self._store.jobs.get(_key_id(actor, key))
        return (await self._store.jobs.get(note["job_id"]), note["order"]) if note else (None, {})

    async def submit_many(self, actor: Actor, orders: Sequence[JobOrder]) -> list[Doc]:
        """Order a batch with few round trips; jobs in the order given.

        Where the owner of cost refuses some, these come back failed; when it refuses all, it raises.
        """
        return await self._order(actor, orders, {})

    async def _order(self, actor: Actor, orders: Sequence[JobOrder], extra: Doc) -> list[Doc]:
        taken: list[Doc] = []
        refused: list[StudioError] = []
        for start in range(0, len(orders), BATCH):
            taken += await self._take_in(actor, orders[start : start + BATCH], extra, refused)
        if refused and len(refused) == len(taken):
            raise refused[0]
        return taken

    async def _take_in(
        self, actor: Actor, orders: Sequence[JobOrder], extra: Doc, refused: list[StudioError]
    ) -> list[Doc]:
        known, taken, fresh = await self._twins(orders), [], []
        for order in orders:
            job = known.get((order.project_id, order.dedupe_hash))
            if job is None:
                job = self._new(actor, order) | extra
                await self._machine.price(job)
                fresh.append(job)
                if order.dedupe_hash is not None:
                    known[order.project_id, order.dedupe_hash] = job
            taken.append(job)
        if not fresh:
            return taken
        ids = [job["_id"] for job in fresh]
        async with self._machine.busy(*ids):
            try:
                await self._store.jobs.insert_many(fresh)
            except ConflictError:  # a twin was ordered a moment ago: it is found now
                await self._store.jobs.delete({"_id": {"$in": ids}}, many=True)
                if extra:
                    return [await self.submit(actor, orders[0], idempotency_key=extra["idempotency_key"])]
                return await self._take_in(actor, orders, extra, refused)
            refused += await self._admit_all(fresh)
        return taken

    async def _twins(self, orders: Sequence[JobOrder]) -> dict[tuple[str, str | None], Doc]:
        wanted: dict[str, list[str]] = {}
        for order in orders:
            if order.dedupe_hash is not None:
                wanted.setdefault(order.project_id, []).append(order.dedupe_hash)
        active = {"dedupe_active": True}
        pages = [
            await self._store.jobs.find({"project_id": project, "dedupe_hash": {"$in": hashes}, **active})
            for project, hashes in wanted.items()
        ]
        return {(job["project_id"], job["dedupe_hash"]): job for page in pages for job in page}

    def _new(self, actor: Actor, order: JobOrder) -> Doc:
        if order.kind not in self._machine.kinds:
            raise InvalidInputError(f"No job {order.kind!r}; choose from {sorted(self._machine.kinds)}.")
        now = self._store.now()
        job: Doc = {
            "_id": new_id(), "kind": order.kind, "project_id": order.project_id, "user_id": actor.user_id,
            "target": order.target, "input": order.input, "wanted": order.provider, "model": order.model,
            "priority": order.priority, "state": "waiting", "state_seq": 1, "attempt": 1, "attempts": [],
            "max_attempts": self._machine.kinds[order.kind].max_attempts, "crashes": 0,
            "polls": 0, "sent": 0, "progress": {"pct": 0, "stage": ""}, "result_asset_ids": [],
            "ready_at": now, "created_at": now,
        }  # fmt: skip
        if self._machine.public_url is not None:
            job["callback_token"] = secrets.token_urlsafe(24)
        if actor.api_key_id is not None:
            job["api_key_id"] = actor.api_key_id
        if order.batch_id is not None:
            job["batch_id"] = order.batch_id
        if order.dedupe_hash is not None:
            job |= {"dedupe_hash": order.dedupe_hash, "dedupe_active": True}
        return job | self._store.leased()

    async def _admit_all(self, jobs: list[Doc]) -> list[StudioError]:
        """Hold job by job, queue the held in one write, fail the others; documents change in place."""
        refused: list[StudioError] = []
        held: list[Doc] = []
        for job in jobs:
            try:
                await self._machine.hold(job)
                held.append(job)
            except StudioError as error:
                await self._machine.refuse(job, error)
                job.update(await self._store.jobs.get(job["_id"]) or {})
                refused.append(error)
        if not held:
            return refused
        now = self._store.now()
        fields = {"state": "queued", "state_seq": 2, "queued_at": now, "next_at": now + GRACE_MS}
        ids = [job["_id"] for job in held]
        where = {"_id": {"$in": ids}, "state": "waiting", "state_seq": 1}
        queued = await self._store.jobs.update(
            where, {"$set": fields, "$unset": {"lease_owner": ""}}, many=True
        )
        for job in held:
            job.update(fields)
            job.pop("lease_owner", None)
            if queued < len(held):
                await self._machine.overtaken(job, {"sent": 0})
            self._store.tell(job)
            await self._machine.ring(job, 0.0)
        return refused
