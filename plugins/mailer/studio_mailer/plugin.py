"""Wires mails into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Collection, Index, Manifest, StudioHooks, hookimpl
from studio_mailer.api import Mails
from studio_mailer.delivery import Delivery
from studio_mailer.rendering import FOLDER, Renderer
from studio_mailer.routes import PREVIEW_ROUTES, ROUTES
from studio_mailer.service import OUTBOX, MailService
from studio_mailer.settings import MailerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from studio import HealthCheck, PluginContext, Route


class Plugin(StudioHooks):
    """Templates, the outbox and its delivery."""

    manifest = Manifest("mailer", after=("local",), provides=("Mails",), settings=MailerSettings)

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the outbox's routes, and on a laptop those of the preview."""
        return [*ROUTES, *(PREVIEW_ROUTES if ctx.config.environment == "development" else ())]

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return the outbox."""
        state, gone = Index((("state", 1), ("_id", -1))), Index((("expires_at", 1),), ttl_s=0)
        key, due = Index((("key", 1),), unique=True), Index((("next_at", 1),))
        defaults = dict.fromkeys(("key", "template", "to", "state"), ...)
        return [Collection(OUTBOX, indexes=(key, due, state, gone), defaults=defaults)]

    @hookimpl
    def register_templates(self, ctx: PluginContext) -> list[Path]:
        """Return the folder of the preview page."""
        return [FOLDER]

    @hookimpl
    def register_health_checks(self, ctx: PluginContext) -> list[HealthCheck]:
        """Return the outbox's check."""
        return [_service(ctx).health_check()]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the services and deliver until the stop."""
        mails, renderer = _service(ctx), _renderer(ctx)
        delivery = Delivery(ctx, ctx.settings(MailerSettings), renderer)
        mails.ring = delivery.ring
        ctx.provide(Mails, mails)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        ctx.provide(MailService, mails)
        ctx.provide(Renderer, renderer)
        _show(ctx, delivery)
        ctx.spawn(delivery.run(mails.figures), "delivery")
        yield
        await delivery.stop()


def _renderer(ctx: PluginContext) -> Renderer:
    server = ctx.config.server
    return Renderer(server.public_url or f"http://localhost:{server.port}")


def _service(ctx: PluginContext) -> MailService:
    return MailService(ctx, _renderer(ctx))


def _show(ctx: PluginContext, delivery: Delivery) -> None:
    """Put the figures of the outbox among the metrics, at most 15 s old."""
    gauge = ctx.metrics.gauge
    gauge("studio_mails_queued", "Mails that wait to be sent", lambda: delivery.figures.queued)
    gauge("studio_mails_dead", "Mails that came to nothing", lambda: delivery.figures.dead)
    gauge(
        "studio_mail_oldest_seconds", "Age of the oldest mail that waits", lambda: delivery.figures.oldest_s
    )
