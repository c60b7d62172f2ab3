"""Builds the platform, and starts and stops it in order."""

from __future__ import annotations

import asyncio
import functools
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from studio.activity import ACTIVITY_COLLECTION, Activity
from studio.auth import Auth
from studio.boundary import contained
from studio.cache import Cache
from studio.database import connect
from studio.database.schema import PLUGIN_STATE
from studio.dispatch import Dispatcher
from studio.error_feed import ErrorFeed
from studio.errors import ConfigError, DatabaseUnavailableError, PluginError
from studio.http_client import HttpClients
from studio.jobs.service import Jobs
from studio.jobs.store import JOBS_COLLECTION
from studio.plugins.context import Services
from studio.plugins.loader import Loader
from studio.plugins.manifest import KERNEL
from studio.plugins.state import reason_of
from studio.providers.registry import Providers
from studio.realtime import Realtime
from studio.settings import LoadedSettings, load_plugin_choice, load_settings
from studio.system import system_declared
from studio.telemetry import Metrics, configure_logging, get_logger, register_secret
from studio.web.application import application_of, refuse_bad_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from aiohttp import web

    from studio.database.schema import DeclaredDatabase

FLUSH_S, SETTLE_S = 1.0, 3.0
"""How long a stop waits until what was logged is stored and told."""
INDEX_AT_ONCE = 4
"""Plugins whose indexes are made at the same time: all at once would open forty connections at the start."""
log = get_logger("studio.app")


class Studio:
    """One application. Use `running()`; `database` replaces the configured one (tests, benchmarks).

    With `beside` a server runs already: what it has started itself (the embedded database) is used, not started.
    `recovery` says why only the plugins of `plugins.recovery` run; `note` hears what the start does now.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        database: DeclaredDatabase | None = None,
        beside: bool = False,
        recovery: str | None = None,
        note: Callable[[str], object] = str,
    ) -> None:
        environment, choice = load_plugin_choice(environ=environ)
        self.recovery = recovery
        self.loader = Loader(environment, choice, recovery=recovery is not None, note=note)
        self.loaded: LoadedSettings = load_settings(self.loader.import_all(), environ=environ)
        self.settings = self.loaded.settings
        self._log = configure_logging(self.settings)
        for secret in self.loaded.secrets():
            register_secret(secret)
        self.dispatcher = Dispatcher(self.settings.owners.model_dump())
        self.registry = self.loader.registry
        self.services = Services()
        self.services.settings, self.services.beside = self.settings, beside
        self.services.auth = Auth(self.dispatcher)
        self.metrics = self.services.metrics = Metrics()
        self.metrics.gauge("studio_log_lines_dropped", "Log lines lost", lambda: self._log.dropped)
        self._database = database
        self._stack = AsyncExitStack()
        self.timings: dict[str, float] = {}
        self.app: web.Application
        self.ready = False
        self.registry.add(
            KERNEL,
            system_declared(self, (ACTIVITY_COLLECTION, JOBS_COLLECTION, PLUGIN_STATE)),
        )
        self.services.routes = functools.partial(self.registry.all, "routes")
        self.services.finalize = functools.partial(self.dispatcher.each, "finalize_asset")
        self.loader.register_all(self.dispatcher, self.services, self.loaded.plugins)
        while bad := refuse_bad_routes(self):  # a refused plugin takes its permissions along
            self.loader.refuse(bad)
        self.services.permissions = self.registry.index("permissions")
        for name in self.settings.plugins.global_middlewares:
            if name not in self.registry.plugins:
                self.loaded.warnings.append(
                    f"plugins.global_middlewares: the plugin {name!r} is not there: what it guards is open"
                )
        if not self.dispatcher.implementations("idempotency_backend"):
            self.loaded.warnings.append(
                "no plugin keeps idempotency keys: a write that carries one is refused (idempotency does)"
            )
        for decision, owner in self.settings.owners.model_dump().items():
            if owner not in self.registry.plugins:
                self.loaded.warnings.append(
                    f"owners.{decision}: the plugin {owner!r} is not there, so the answer is always no"
                )

    async def start(self) -> None:
        """Connect, start the plugins, and build the web application; nothing listens yet."""
        services, registry = self.services, self.registry
        services.http = HttpClients(self.metrics)
        self._stack.push_async_callback(services.http.close)
        await self._timed("backends", self.connect())
        services.providers = Providers(self.settings, self.dispatcher)
        strict = self.settings.environment in ("development", "test")
        services.activity = Activity(
            services.database, self.dispatcher, registry.index("activities"), strict=strict
        )
        services.realtime = Realtime(services.cache, registry.index("events"))
        services.jobs = Jobs(
            services.database, self.dispatcher, services.providers, self.settings.jobs,
            public_url=self.settings.server.public_url, observe=self.metrics.observe_job,
        )  # fmt: skip
        self._stack.push_async_callback(services.activity.stop)
        gauge = self.metrics.gauge
        gauge("studio_activities_dropped", "Activities lost", lambda: services.activity.dropped)
        gauge("studio_messages_dropped", "Realtime messages lost", lambda: services.realtime.dropped)
        await self._enter_service(services.realtime)
        self._stack.push_async_callback(self.loader.stop_all, self.settings.server.shutdown_s / 4)
        self._stack.push_async_callback(self._settle)
        await self._timed("plugins", self.loader.start_all(self._migrate))
        for name in tuple(registry.plugins):
            await self._wire(name)
        services.permissions = registry.index("permissions")
        services.activity.actions = registry.index("activities")
        services.realtime.events = registry.index("events")
        self._hear_errors()
        await self._enter_service(services.jobs)
        self.app = application_of(self)
        self.ready = True

    async def stop(self) -> None:
        """Stop everything in reverse order; each step has its own deadline."""
        self.ready = False
        await self._stack.aclose()

    async def connect(self) -> None:
        """Connect to the database and the cache, all that looking at documents takes."""
        database_url, cache_url = await asyncio.gather(
            self._address("database_backend", self.settings.database.url),
            self._address("cache_backend", self.settings.cache.url),
        )
        self.services.cache = Cache(cache_url, self.settings.cache.prefix)
        self._stack.push_async_callback(self.services.cache.close)
        database = self._database or connect(self.settings.database, database_url)
        self._stack.push_async_callback(database.close)
        database.declare(self.registry.all("collections"))
        await database.ping()
        self.services.database = self._connected = database
        await self._index(database)

    async def _index(self, database: DeclaredDatabase) -> None:
        """Make the missing indexes; a plugin whose own cannot be made is refused, the others go on."""
        owners = [name for name, declared in self.registry.plugins.items() if declared.collections]
        some = asyncio.Semaphore(INDEX_AT_ONCE)

        async def ensure(owner: str) -> None:
            async with some:
                await database.ensure(owner)

        answers = await asyncio.gather(*map(ensure, owners), return_exceptions=True)
        bad = {owner: answer for owner, answer in zip(owners, answers, strict=True) if answer is not None}
        for owner, error in bad.items():
            if owner == KERNEL or isinstance(error, DatabaseUnavailableError):
                raise error
        self.loader.refuse({owner: reason_of(bad[owner]) for owner in bad}, "index")

    async def _address(self, hook: str, configured: Any) -> str | None:
        if configured is not None:
            return str(configured.get_secret_value())
        if hook == "database_backend" and self._database is not None:
            return None
        kinds = Exception if hook == "cache_backend" else ()
        with contained(_no_cache, kinds):  # a plugin's server: a cache is worth having, not needed
            backend: AbstractAsyncContextManager[str] | None = self.dispatcher.backend(hook)
            return await self._stack.enter_async_context(backend) if backend else None
        return None

    async def _enter_service(self, service: Any) -> None:
        await service.start()
        self._stack.push_async_callback(service.stop)

    async def _migrate(self, name: str) -> None:
        await self._connected.migrate(name, self.registry.plugins[name].migrations)

    async def _wire(self, name: str) -> None:
        """Hand what a started plugin offers to the kernel's services; one that cannot is stopped again."""
        services, record = self.services, self.loader.records.get(name)
        if record is None or record.ctx is None:
            return
        declared = self.registry.plugins[name]
        try:
            transports = self.dispatcher.collect("realtime_backends", name)
            backend = self.dispatcher.ask("job_backend", name)
            run_once = self.dispatcher.ask("idempotency_backend", name)
            if backend is not None and not hasattr(backend, "enqueue"):
                raise PluginError(f"job_backend: returned a {type(backend).__name__}, expected JobBackend")
            services.providers.register(name, record.ctx, declared.providers)
        except PluginError as error:
            await self.loader.drop(name, "wire", str(error))
            return
        services.realtime.transports.extend(transports)
        services.jobs.backend = services.jobs.backend or backend
        services.run_once = services.run_once or run_once
        services.jobs.register(declared.jobs)

    def _hear_errors(self) -> None:
        """Tell the plugins that listen what is logged as an error, from now until they stop."""
        listeners = {i.plugin for i in self.dispatcher.implementations("error_captured")}
        if listeners:
            tell = functools.partial(self.dispatcher.notify, "error_captured")
            feed = self._log.feed = ErrorFeed(asyncio.get_running_loop(), tell, listeners)
            title = "Errors that the listening plugins were not told"
            self.metrics.gauge("studio_errors_not_told", title, lambda: feed.dropped)
            self._stack.push_async_callback(self._end_errors)

    async def _end_errors(self) -> None:
        await asyncio.to_thread(self._log.flush, FLUSH_S)
        self._log.feed = None

    async def _settle(self) -> None:
        """Store and tell what happened while the plugins that listen are still there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self.services.activity.flush()
        await self.dispatcher.drain()

    async def _timed(self, phase: str, work: Any) -> None:
        start = time.perf_counter()
        await work
        self.timings[phase] = (time.perf_counter() - start) * 1000


def _no_cache(error: Exception) -> ConfigError | None:
    if isinstance(error, ConfigError):
        return error
    hint = "the platform works without a cache, slower"
    log.warning("cache_backend_failed", error=reason_of(error), hint=hint)
    return None


@asynccontextmanager
async def running(studio: Studio) -> AsyncIterator[Studio]:
    """Start `studio` and stop it at the end, also when the start fails half-way."""
    try:
        await studio.start()
        yield studio
    finally:
        await studio.stop()
