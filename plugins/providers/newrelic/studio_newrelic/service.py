"""What goes to New Relic: errors as log records, jobs that have ended as events."""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from studio import now_ms
from studio_newrelic.client import Collector
from studio_newrelic.forwarder import Forwarder
from studio_newrelic.models import event_of, log_of

if TYPE_CHECKING:
    from studio import Doc, PluginContext
    from studio_newrelic.settings import NewrelicSettings

STOP_S, KNOWN = 1.8, 2_000


class NewRelic:
    """Two queues; without an account id, one."""

    def __init__(self, ctx: PluginContext, settings: NewrelicSettings) -> None:
        logs, events = settings.hosts
        self._common = {
            "service.name": settings.app_name,
            "environment": ctx.config.environment,
            "hostname": socket.gethostname(),
        }
        queue = (settings.queue, settings.flush_s)
        collector = Collector(ctx, settings, "newrelic-logs", logs, "/log/v1")
        self.logs = Forwarder(collector, self._document, *queue)
        self.events: Forwarder | None = None
        if settings.account_id is not None:
            path = f"/v1/accounts/{settings.account_id}/events"
            self.events = Forwarder(Collector(ctx, settings, "newrelic-events", events, path), list, *queue)
        self._told: OrderedDict[tuple[Any, ...], None] = OrderedDict()

    def record_error(self, error: Doc) -> None:
        """Queue an error."""
        self.logs.put(log_of(error, now_ms()))

    def record_job(self, job: Doc) -> None:
        """Queue a job that has ended, each end once."""
        event = event_of(job, now_ms()) if self.events else None
        key = (job.get("_id"), job.get("attempt"), job.get("state"))
        if event is None or self.events is None or key in self._told:
            return
        self._told[key] = None
        if len(self._told) > KNOWN:
            self._told.popitem(last=False)
        self.events.put(event | {"appName": self._common["service.name"]})

    async def close(self) -> None:
        """Send what is queued, for less than 2 s."""
        await asyncio.gather(*(queue.finish(STOP_S) for queue in self._queues()))

    def show(self, ctx: PluginContext) -> None:
        """Put the figures of the queues among the metrics."""
        gauge, queues = ctx.metrics.gauge, self._queues()
        gauge("studio_newrelic_queued", "Records that wait", lambda: sum(q.queued for q in queues))
        gauge("studio_newrelic_sent", "Records that New Relic took", lambda: sum(q.sent for q in queues))
        gauge("studio_newrelic_dropped", "Records that were too many", lambda: sum(q.dropped for q in queues))

    def _queues(self) -> list[Forwarder]:
        return [queue for queue in (self.logs, self.events) if queue is not None]

    def _document(self, records: list[Any]) -> Any:
        return [{"common": {"attributes": self._common}, "logs": records}]
