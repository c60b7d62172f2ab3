"""What the tests of vendors' plugins share: a context before a fake, a provider as features get it, a Studio alone."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from studio.dispatch import Dispatcher
from studio.plugins.context import PluginContext
from studio.testing.kit import (
    HttpClients,
    Metrics,
    Providers,
    Services,
    Settings,
    Studio,
    get_logger,
    running,
)
from studio.testing.memory import InMemoryDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from studio.hooks import StudioHooks

__all__ = ["alone", "contexts", "wrapped"]


@asynccontextmanager
async def contexts() -> AsyncIterator[Callable[[str, object], PluginContext]]:
    """Yield a maker of plugin contexts, by name and settings; their HTTP clients are closed at the end."""
    services = Services()
    services.settings, services.metrics = Settings(), Metrics()
    services.http = HttpClients(services.metrics)

    def make(name: str, settings: object) -> PluginContext:
        return PluginContext(name, services, settings, get_logger(name))

    try:
        yield make
    finally:
        await services.http.close()


@asynccontextmanager
async def wrapped(plugin: type[StudioHooks], capability: str, settings: object) -> AsyncIterator[Any]:
    """Yield a plugin's provider as features get it, with its limit, circuit and deadline; no whole Studio."""
    name = plugin.manifest.name
    async with contexts() as make:
        ctx = make(name, settings)
        providers = Providers(ctx.config, Dispatcher({}))
        providers.register(name, ctx, plugin().register_providers(ctx))
        yield providers.get(capability, name)


@asynccontextmanager
async def alone(folder: Path, *plugins: str, **variables: str) -> AsyncIterator[Studio]:
    """Yield a running Studio with these plugins alone, and `free` for the cost; variables as an operator sets them."""
    environ = {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(folder),
        "STUDIO_PLUGINS__ENABLED": ",".join([*plugins, "free"]),
        "STUDIO_OWNERS__COST": "free",
        "STUDIO_LOGGING__LEVEL": "error",
        "STUDIO_LOGGING__DIRECTORY": str(folder / "errors"),
        **variables,
    }
    studio = Studio(environ=environ, database=InMemoryDatabase())
    async with running(studio):
        yield studio
