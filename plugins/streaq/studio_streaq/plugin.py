"""Offers the engine wherever there is a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, StudioHooks, hookimpl
from studio_streaq.settings import StreaqSettings

if TYPE_CHECKING:
    from studio import JobBackend, PluginContext


class Plugin(StudioHooks):
    """Answers `job_backend`."""

    manifest = Manifest("streaq", settings=StreaqSettings)

    @hookimpl
    def job_backend(self, ctx: PluginContext) -> JobBackend | None:
        """Return the engine; None without a Redis, when the rings stay in the process."""
        if not ctx.cache.url:
            return None
        from studio_streaq.engine import StreaqDoorbell  # noqa: PLC0415 - 0.2 s of imports that only a Redis is worth

        settings = ctx.settings(StreaqSettings)
        queue = f"{ctx.config.cache.prefix}{settings.queue}"
        return StreaqDoorbell(ctx.cache.url, queue, settings, concurrency=ctx.config.jobs.concurrency)
