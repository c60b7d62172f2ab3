"""The activity log: fire and forget from services, `flush()` when a test or the shutdown must know."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from studio.boundary import contained
from studio.database import Collection, Index
from studio.errors import ConflictError, DeadlineExceededError, UnavailableError
from studio.model import Doc, new_id, now_ms
from studio.plugins.state import reason_of
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio.auth import Actor
    from studio.database import Database
    from studio.dispatch import Dispatcher

QUEUE, BATCH, RETRY_S, DRAIN_S = 5_000, 200, 1.0, 3.0
AWAY = (UnavailableError, DeadlineExceededError)
ACTIVITY_COLLECTION = Collection(
    "projectActivities",
    indexes=(
        Index((("project_id", 1), ("_id", -1))),
        Index((("actor.id", 1), ("_id", -1))),
        Index((("target.id", 1), ("_id", -1))),
    ),
    defaults={"action": "", "target": None, "params": {}},
)
log = get_logger("studio.activity")


@dataclass(frozen=True, slots=True)
class ActivityAction:
    """One kind of activity: `code` is stored, `label` is shown with its `{name}`s filled from `params`."""

    code: str
    label: str
    category: str = "project"


class Activity:
    """Queues activities and stores them in batches.

    `strict` (development, test) refuses undeclared actions, else they are counted in `dropped` and logged.
    """

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        actions: Mapping[str, ActivityAction],
        *,
        strict: bool = True,
    ) -> None:
        self.actions = actions
        self.dropped = 0
        self._database, self._dispatcher, self._strict = database, dispatcher, strict
        self._queue: deque[Doc] = deque()
        self._writer: asyncio.Task[None] | None = None  # lives while there is something to write

    def log_activity(
        self,
        project_id: str,
        actor: Actor,
        action: str,
        target: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        job_id: str | None = None,
    ) -> None:
        """Queue an activity on `target` {type, id, name} and return; ValueError if undeclared and strict."""
        if action not in self.actions:
            message = f"activity {action!r} is not declared: return ActivityAction({action!r}, …)"
            self._refuse(f"{message} from register_activities")
            return
        if len(self._queue) >= QUEUE:
            self.dropped += 1
            return
        kind = "system" if actor.kind == "system" else "user"
        self._queue.append(
            {
                "_id": new_id(),
                "project_id": project_id,
                "at": now_ms(),
                "actor": {"type": kind, "id": actor.user_id, "name": actor.name},
                "action": action,
                "target": dict(target) if target else None,
                "params": dict(params or {}),
                "job_id": job_id,
                "visibility": "project",
            }
        )
        self._wake()

    def log_project_lifecycle_activity(
        self, project: Doc, actor: Actor, action: str, params: Mapping[str, Any] | None = None
    ) -> None:
        """Log what happened to the project itself: it is the target, and its name is the parameter `name`."""
        target = {"type": "project", "id": project["_id"], "name": project.get("name", "")}
        self.log_activity(project["_id"], actor, action, target, {"name": target["name"], **(params or {})})

    async def flush(self) -> None:
        """Return when everything logged so far is stored (or is gone for good)."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])

    async def stop(self) -> None:
        """Store what is queued, within 3 s; the rest is counted and named in the log."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=DRAIN_S)
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        if self._queue:
            self.dropped += len(self._queue)
            log.error("activities_lost", count=len(self._queue))
            self._queue.clear()

    def _refuse(self, message: str) -> None:
        if self._strict:
            raise ValueError(message)
        self.dropped += 1
        log.error("undeclared_activity", detail=message)

    def _wake(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="activity")

    async def _write(self) -> None:
        singly = 0  # of a batch that was refused each document is stored alone: one of them may never be
        while self._queue:
            batch = list(islice(self._queue, 1 if singly else BATCH))
            try:
                refused = await self._store(batch)
            except AWAY as error:  # the batch stays first in the queue
                log.warning("activities_wait", count=len(self._queue), error=error.detail)
                await asyncio.sleep(RETRY_S)
                continue
            if refused and len(batch) > 1:
                singly = len(batch)
                continue
            singly = max(0, singly - 1)
            for document in batch:
                self._queue.popleft()
                if refused:
                    self.dropped += 1
                    log.error("activity_lost", action=document["action"], error=reason_of(refused))
                else:
                    self._dispatcher.notify("activity_recorded", document)

    async def _store(self, batch: list[Doc]) -> Exception | None:
        """Return why the batch can never be stored; raises while the database is away."""
        with contained() as failed:  # whatever an activity holds, those behind it are stored
            await self._database[ACTIVITY_COLLECTION.name].insert_many(batch)
        if isinstance(failed.error, AWAY):
            raise failed.error
        # Alone and there already: an earlier try stored it before it was cut off.
        known = len(batch) == 1 and isinstance(failed.error, ConflictError)
        return None if known or not isinstance(failed.error, Exception) else failed.error
