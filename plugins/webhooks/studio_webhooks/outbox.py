"""The outbox of outgoing webhooks: what happened becomes one delivery for each endpoint that wants to know."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from studio import ConflictError, Doc, NotFoundError, Page, StudioError, new_id, now_ms
from studio_audit.api import audit
from studio_webhooks.events import EVERYTHING, PROJECT_DELETED, TEST, Occurrence
from studio_webhooks.models import DeliveryPublic

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Actor, PluginContext, Repository
    from studio_webhooks.endpoints import EndpointService
    from studio_webhooks.models import DeliveryQuery
    from studio_webhooks.settings import WebhooksSettings

DELIVERIES = "webhook_deliveries"
QUEUE, RETRY_S, DAY_S = 5_000, 1.0, 86_400
LAST_TRY = ("error", "status", "duration_ms", "delivered_at")
LISTED = [name for name in DeliveryPublic.model_fields if name != "id"]


class Outbox:
    """Keeps deliveries; `clock` is in UTC ms."""

    def __init__(
        self,
        ctx: PluginContext,
        settings: WebhooksSettings,
        endpoints: EndpointService,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._ctx, self._settings, self._endpoints, self._clock = ctx, settings, endpoints, clock
        self._noted: deque[Occurrence] = deque()
        self._rung = asyncio.Event()
        self.ring: Callable[[], None] = lambda: None
        """Wakes the sender of this process."""
        self.dropped = 0
        """Events that were lost because the database was away for too long."""

    def note(self, occurrence: Occurrence) -> None:
        """Queue an event in this process and return: a notification may not wait for the database."""
        if len(self._noted) >= QUEUE:
            self.dropped += 1
            return
        self._noted.append(occurrence)
        self._rung.set()

    async def run(self) -> None:
        """Store deliveries of what is noted, for ever."""
        while True:
            self._rung.clear()
            try:
                await self.store_noted()
            except StudioError as error:  # away: the event stays first in the queue
                self._ctx.log.warning("webhook_events_wait", count=len(self._noted), error=error.detail)
                await asyncio.sleep(RETRY_S)
                continue
            await self._rung.wait()

    async def store_noted(self) -> None:
        """Store the deliveries of everything that is noted; what is told a second time is stored once.

        Events come in bursts of one project, which cost one look for its endpoints. Its deletion is the last of them.
        """
        while self._noted:
            project_id = self._noted[0].project_id
            endpoints = await self._endpoints.told_in(project_id)
            while self._noted and self._noted[0].project_id == project_id:
                for endpoint in endpoints:
                    if {self._noted[0].type, EVERYTHING} & set(endpoint["event_types"]):
                        await self._store(endpoint, self._noted[0])
                if self._noted[0].type == PROJECT_DELETED:
                    await self._endpoints.leave_project(project_id)
                    endpoints = []
                self._noted.popleft()

    async def send_test(self, endpoint: Doc) -> Doc:
        """Queue a test, also to an endpoint that is off, and return the delivery."""
        test = Occurrence(
            new_id(), endpoint["project_id"], TEST, self._clock(), {"webhookId": endpoint["_id"]}
        )
        return await self._store(endpoint, test)

    async def _store(self, endpoint: Doc, occurrence: Occurrence) -> Doc:
        delivery: Doc = {
            "_id": new_id(),
            "project_id": occurrence.project_id,
            "endpoint_id": endpoint["_id"],
            "lane": endpoint["_id"],
            "event_id": occurrence.id,
            "type": occurrence.type,
            "body": occurrence.body(),
            "state": "queued",
            "attempts": 0,
            **self._due(),
        }
        try:
            stored = await self._deliveries.insert(delivery)
        except ConflictError:
            return delivery
        self.ring()
        return stored

    async def list_deliveries(self, query: DeliveryQuery) -> Page:
        """Return one page, newest first."""
        chosen = {"endpoint_id": query.endpoint_id, "state": query.state}
        where = {"project_id": query.project_id} | {k: v for k, v in chosen.items() if v is not None}
        found: Page = await self._deliveries.page(
            where, cursor=query.cursor, limit=query.limit, newest_first=True, fields=LISTED
        )
        return found

    async def get_delivery(self, delivery_id: str) -> Doc:
        """Return one; raises NotFoundError."""
        delivery = await self._deliveries.get(delivery_id)
        if delivery is None:
            raise NotFoundError("There is no such delivery, or no longer.")
        return delivery

    async def redeliver(self, actor: Actor, delivery: Doc) -> Doc:
        """Send an ended delivery anew, under the same id; raises ConflictError for one under way."""
        ended = {"_id": delivery["_id"], "state": {"$in": ["delivered", "dead"]}}
        fresh = {"state": "queued", "attempts": 0, **self._due()}
        if not await self._deliveries.update(ended, {"$set": fresh, "$unset": dict.fromkeys(LAST_TRY, "")}):
            raise ConflictError("This delivery is under way; only those that have ended can be sent again.")
        self.ring()
        target, project_id = ("webhook_delivery", delivery["_id"]), delivery["project_id"]
        await audit(self._ctx, actor, "webhook.redelivered", target, project_id=project_id)
        return await self.get_delivery(delivery["_id"])

    def _due(self) -> Doc:
        """Return the fields of what is to be sent now, and kept for long enough."""
        now = self._clock()
        gone = datetime.fromtimestamp(now / 1000 + self._settings.keep_d * DAY_S, UTC)
        return {"next_at": now, "expires_at": gone}

    async def forget(self, endpoint_id: str) -> None:
        """Remove what was and is on its way to an endpoint that is removed."""
        await self._deliveries.delete({"endpoint_id": endpoint_id}, many=True)

    @property
    def _deliveries(self) -> Repository:
        return self._ctx.database[DELIVERIES]
