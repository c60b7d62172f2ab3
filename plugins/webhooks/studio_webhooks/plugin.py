"""Wires webhooks into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import ActivityAction, Collection, Doc, Index, Manifest, Permission, StudioHooks, hookimpl, now_ms
from studio_webhooks.api import Webhooks
from studio_webhooks.endpoints import ENDPOINTS, EndpointService
from studio_webhooks.events import of_activity, of_job
from studio_webhooks.hearing import FIELDS, Hearing
from studio_webhooks.outbox import DELIVERIES, Outbox
from studio_webhooks.pages import HERE, PageFiles
from studio_webhooks.routes import ROUTES
from studio_webhooks.sending import Sender
from studio_webhooks.service import INBOX, InboxService
from studio_webhooks.settings import WebhooksSettings
from studio_webhooks.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from studio import PluginContext, Route

LEASE_S, MARGIN_S = 60.0, 30.0
"""How long a process may work on a call; how much longer than its deadline a delivery may take."""


class Plugin(StudioHooks):
    """The inbox for vendors' calls and the outbox for ours."""

    manifest = Manifest("webhooks", provides=("Webhooks",), settings=WebhooksSettings)
    _outbox: Outbox | None = None

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/webhooks, and the page at /webhooks."""
        return ROUTES

    @hookimpl
    def register_templates(self, ctx: PluginContext) -> list[Path]:
        """Return the folder of the page."""
        return [HERE / "templates"]

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        """Return the right to say who is told."""
        return [Permission("webhook:manage", "Manage outgoing webhooks")]

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return the inbox, endpoints and deliveries."""
        return list(COLLECTIONS)

    @hookimpl
    def register_activities(self, ctx: PluginContext) -> list[ActivityAction]:
        """Return what happens to endpoints."""
        return [
            ActivityAction("webhook.created", "added a webhook to {host}", "webhook"),
            ActivityAction("webhook.updated", "changed the webhook to {host}", "webhook"),
            ActivityAction("webhook.deleted", "removed the webhook to {host}", "webhook"),
            ActivityAction("webhook.rotated", "gave the webhook to {host} a new secret", "webhook"),
            ActivityAction("webhook.disabled", "switched the webhook to {host} off: {reason}", "webhook"),
        ]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the services, and work on both boxes until the stop."""
        settings = ctx.settings(WebhooksSettings)
        inbox, hearing = InboxService(ctx, settings), Hearing(ctx, settings)
        endpoints = EndpointService(ctx, settings)
        outbox = self._outbox = Outbox(ctx, settings, endpoints)
        sender, sending_s = Sender(ctx, settings, endpoints), settings.timeout_s + MARGIN_S
        scan_s, heard_at_once, sent_at_once = settings.scan_s, settings.concurrency, settings.deliveries
        heard = Worker(
            ctx, INBOX, hearing.handle, limit=heard_at_once, lease_s=LEASE_S, scan_s=scan_s, fields=FIELDS
        )
        sent = Worker(ctx, DELIVERIES, sender.handle, limit=sent_at_once, lease_s=sending_s, scan_s=scan_s)
        inbox.ring, outbox.ring = heard.ring, sent.ring
        ctx.provide(Webhooks, hearing)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        ctx.provide(InboxService, inbox)
        ctx.provide(EndpointService, endpoints)
        ctx.provide(Outbox, outbox)
        ctx.provide(PageFiles, PageFiles())
        _show(ctx, inbox, outbox, heard, sent)
        for name, work in (("inbox", heard.run()), ("events", outbox.run()), ("outbox", sent.run())):
            ctx.spawn(work, name)
        yield
        await heard.stop()
        await sent.stop()

    @hookimpl
    async def activity_recorded(self, ctx: PluginContext, activity: Doc) -> None:
        """Tell the endpoints that want to know."""
        if self._outbox and activity.get("project_id"):
            self._outbox.note(of_activity(activity))

    @hookimpl
    async def job_changed(self, ctx: PluginContext, job: Doc) -> None:
        """Tell of a job that has ended."""
        if self._outbox and (occurrence := of_job(job, now_ms())):
            self._outbox.note(occurrence)


_DUE = Index((("next_at", 1),), partial={"next_at": {"$gt": 0}})
_GONE = Index((("expires_at", 1),), ttl_s=0)
COLLECTIONS = (
    Collection(
        INBOX,
        indexes=(
            Index((("provider", 1), ("delivery_id", 1)), unique=True),
            Index((("state", 1), ("_id", -1))),
            Index((("provider", 1), ("_id", -1))),
            _DUE,
            _GONE,
        ),
        defaults={"provider": ..., "body": ..., "state": ..., "account": "", "kind": "", "headers": {}},
    ),
    Collection(
        ENDPOINTS,
        indexes=(
            Index((("project_id", 1), ("_id", 1))),
            Index((("project_id", 1), ("place", 1)), unique=True, partial={"place": {"$gt": 0}}),
            _GONE,
        ),
        defaults={"project_id": ..., "url": ..., "secret": ..., "event_types": [], "description": ""},
    ),
    Collection(
        DELIVERIES,
        indexes=(
            Index((("endpoint_id", 1), ("event_id", 1)), unique=True),
            Index((("project_id", 1), ("_id", -1))),
            Index((("state", 1), ("_id", -1))),
            _DUE,
            _GONE,
        ),
        defaults=dict.fromkeys(("project_id", "endpoint_id", "event_id", "type", "body", "state"), ...),
    ),
)


def _show(ctx: PluginContext, inbox: InboxService, outbox: Outbox, heard: Worker, sent: Worker) -> None:
    """Put the figures among the metrics; those of the boxes are at most 15 s old."""
    gauge = ctx.metrics.gauge
    gauge("studio_webhooks_taken", "Vendors' calls that were stored", inbox.taken.total)
    gauge("studio_webhooks_refused", "Calls with a bad signature", inbox.refused.total)
    gauge("studio_webhooks_waiting", "Vendors' calls that are to be worked on", lambda: heard.waiting)
    gauge("studio_webhooks_dead", "Vendors' calls that came to nothing", lambda: heard.dead)
    gauge("studio_deliveries_waiting", "Outgoing webhooks that wait", lambda: sent.waiting)
    gauge("studio_deliveries_dead", "Outgoing webhooks that came to nothing", lambda: sent.dead)
    gauge("studio_webhook_events_dropped", "Events that nobody was told of", lambda: outbox.dropped)
