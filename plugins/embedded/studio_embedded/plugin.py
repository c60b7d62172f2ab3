"""Hooks of the plugin `embedded`: wiring only."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from studio import ConfigError, HealthCheck, Manifest, StudioHooks, hookimpl
from studio_embedded.cache import EmbeddedCache
from studio_embedded.commands import build_commands
from studio_embedded.database import EmbeddedDatabase
from studio_embedded.pair import ServerPair, attached
from studio_embedded.settings import EmbeddedSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    import typer

    from studio import PluginContext
    from studio_embedded.servers import EmbeddedServer


def build_servers(settings: EmbeddedSettings) -> dict[str, EmbeddedServer]:
    """Return both servers, not started."""
    start_s, stop_s = settings.start_deadline_s, settings.stop_deadline_s
    database = EmbeddedDatabase(
        settings.data_dir,
        cache_size=settings.database_cache_size,
        start_deadline_s=start_s,
        stop_deadline_s=stop_s,
    )
    cache = EmbeddedCache(settings.data_dir, start_deadline_s=start_s, stop_deadline_s=stop_s)
    return {"database": database, "cache": cache}


def needed(ctx: PluginContext) -> list[str]:
    """Return which servers run: those for which no URL is configured."""
    urls = {"database": ctx.config.database.url, "cache": ctx.config.cache.url}
    return [name for name, url in urls.items() if not url]


class Plugin(StudioHooks):
    """A database and a cache for whoever has configured none."""

    manifest = Manifest(name="embedded", settings=EmbeddedSettings)

    def __init__(self) -> None:
        self._pair: ServerPair | None = None

    @hookimpl
    def database_backend(self, ctx: PluginContext) -> AbstractAsyncContextManager[str] | None:
        """Return SecantusDB; raises ConfigError in production."""
        return self._backend(ctx, "database")

    @hookimpl
    def cache_backend(self, ctx: PluginContext) -> AbstractAsyncContextManager[str] | None:
        """Return Valkey; raises ConfigError in production."""
        return self._backend(ctx, "cache")

    def _backend(self, ctx: PluginContext, name: str) -> AbstractAsyncContextManager[str] | None:
        names = needed(ctx)
        if name not in names:
            return None
        if ctx.config.environment == "production":
            raise ConfigError([_refusal(missing) for missing in names])
        if ctx.beside:
            return attached(build_servers(ctx.settings(EmbeddedSettings))[name])
        return self._servers(ctx).backend(name)

    def _servers(self, ctx: PluginContext) -> ServerPair:
        if self._pair is None:
            servers = build_servers(ctx.settings(EmbeddedSettings))
            self._pair = ServerPair({name: servers[name] for name in needed(ctx)})
        return self._pair

    @hookimpl
    def register_health_checks(self, ctx: PluginContext) -> Iterable[HealthCheck]:
        """Return a check per server; not critical, as the kernel's own checks ask the servers themselves."""
        return [
            HealthCheck(f"embedded-{name}", partial(self._health, ctx, name), critical=False)
            for name in needed(ctx)
        ]

    async def _health(self, ctx: PluginContext, name: str) -> str:
        return self._servers(ctx).health(name)

    @hookimpl
    def register_commands(self, ctx: PluginContext) -> Iterable[typer.Typer]:
        """Return `studio embedded`."""
        return [build_commands(build_servers(ctx.settings(EmbeddedSettings)))]


def _refusal(name: str) -> str:
    variable = {"database": "STUDIO_DATABASE__URL", "cache": "STUDIO_CACHE__URL"}[name]
    server = {"database": "a MongoDB 6 or later", "cache": "a Redis 7 or Valkey"}[name]
    return f"embedded: no embedded {name} in production: set {variable} to {server}, or disable the plugin"
