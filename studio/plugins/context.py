"""What a plugin gets from the kernel: one context per plugin, handed to every hook."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from studio.boundary import contained, exit_refused
from studio.errors import PluginUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping

    from structlog.typing import FilteringBoundLogger

    from studio.activity import Activity
    from studio.auth import Auth, Permission
    from studio.cache import Cache
    from studio.database import Database
    from studio.http_client import HttpClients
    from studio.jobs.service import Jobs
    from studio.model import Doc
    from studio.providers.registry import Providers
    from studio.realtime import Realtime
    from studio.settings import Settings
    from studio.telemetry import Metrics
    from studio.web.deps import RunOnce
    from studio.web.route import Route

    Checkpoint = Callable[[str, Doc], Awaitable[None]] | None

S = TypeVar("S")
CLOSE_S = 1.0
"""How long cancelled background tasks may take to end before they are left alone."""


class Services:
    """The kernel's services and what plugins provide to each other; one per application."""

    settings: Settings
    beside: bool
    database: Database
    cache: Cache
    auth: Auth
    realtime: Realtime
    activity: Activity
    jobs: Jobs
    providers: Providers
    http: HttpClients
    metrics: Metrics

    def __init__(self) -> None:
        self.provided: dict[type, tuple[str, Any]] = {}
        self.permissions: Mapping[str, Permission] = {}
        self.finalize: Callable[..., Awaitable[Doc]]
        self.routes: Callable[[], list[tuple[str, Route]]]
        self.run_once: RunOnce | None = None


class PluginContext:
    """One plugin's view of the platform. Kernel services may be kept; they are connected from `lifespan` on."""

    def __init__(self, name: str, services: Services, settings: object, log: FilteringBoundLogger) -> None:
        self.name = name
        self.log = log
        self._services = services
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()

    def settings(self, model: type[S]) -> S:
        """Return this plugin's own settings; `model` is the manifest's."""
        if not isinstance(self._settings, model):
            found = type(self._settings).__name__
            raise TypeError(f"plugin {self.name!r}: its manifest names {found}, not {model.__name__}")
        return self._settings

    @property
    def config(self) -> Settings:
        """The kernel's settings."""
        return self._services.settings

    @property
    def beside(self) -> bool:
        """Whether this process runs beside a server and uses what that one has started (`studio worker`)."""
        return self._services.beside

    @property
    def database(self) -> Database:
        """Both databases; `ctx.database["stories"]` is a repository."""
        return self._services.database

    @property
    def cache(self) -> Cache:
        """Redis, or nothing at all when it is away."""
        return self._services.cache

    @property
    def auth(self) -> Auth:
        """Permission checks for what no route covers."""
        return self._services.auth

    @property
    def realtime(self) -> Realtime:
        """Publish to users and rooms."""
        return self._services.realtime

    @property
    def activity(self) -> Activity:
        """The activity log."""
        return self._services.activity

    @property
    def jobs(self) -> Jobs:
        """Durable jobs."""
        return self._services.jobs

    @property
    def providers(self) -> Providers:
        """Implementations of capabilities, handed out wrapped."""
        return self._services.providers

    @property
    def permissions(self) -> Mapping[str, Permission]:
        """Every permission that is registered, by name."""
        return self._services.permissions

    @property
    def routes(self) -> list[tuple[str, Route]]:
        """Every route that is on now, with the plugin that owns it, in load order; the kernel's own is "studio"."""
        return self._services.routes()

    async def finalize(self, asset: Doc, *, done: Container[str] = (), kept: Checkpoint = None) -> Doc:
        """Run the `finalize_asset` chain over a new asset and return it with what the steps added.

        `kept(plugin, asset)` is awaited between two steps, so that a restart can name those that ran in `done`.
        """
        return await self._services.finalize(asset, done=done, kept=kept)

    @property
    def http(self) -> HttpClients:
        """The factory of outgoing HTTP clients."""
        return self._services.http

    @property
    def metrics(self) -> Metrics:
        """The figures of `/metrics`: `gauge(name, title, read)`."""
        return self._services.metrics

    def provide(self, kind: type[S], implementation: S) -> None:
        """Hand `implementation` to every plugin that asks for `kind`; once per kind."""
        owner = self._services.provided.get(kind)
        if owner and owner[0] != self.name:
            raise ValueError(f"{kind.__name__} is provided by {owner[0]!r} already, not by {self.name!r} too")
        self._services.provided[kind] = (self.name, implementation)

    def service(self, kind: type[S]) -> S:
        """Return what a plugin provided for `kind`; raises PluginUnavailableError when nobody did."""
        found = self._services.provided.get(kind)
        if found is None:
            raise PluginUnavailableError(f"No plugin that is on provides {kind.__name__}.")
        return found[1]  # type: ignore[no-any-return]  # provide() has checked the pairing

    def withdraw(self) -> None:
        """Take back all that this plugin provided, once it has failed."""
        provided = self._services.provided
        for kind in [kind for kind, (owner, _) in provided.items() if owner == self.name]:
            del provided[kind]

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` in the background until it ends or the plugin stops; its failure is logged."""
        task = asyncio.create_task(_contained(work), name=f"{self.name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, work))
        return task

    def _done(self, task: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> None:
        self._tasks.discard(task)
        work.close()  # a task that is cancelled before its first step never awaits its work
        if not task.cancelled() and (error := task.exception()):
            self.log.error("background_task_failed", task=task.get_name(), exc_info=error)

    def ask(self, question: Callable[[PluginContext], Awaitable[Any]]) -> Any:
        """Return the answer of `question(ctx)` on a started platform; for a command, outside any loop."""
        from studio.cli.process import ask  # noqa: PLC0415 - the command line imports the whole platform

        return ask(lambda studio: question(studio.loader.records[self.name].ctx or self), whole=True)

    async def close(self) -> None:
        """Cancel the background tasks and wait for their end."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)


async def _contained(work: Coroutine[Any, Any, None]) -> None:
    with contained(exit_refused, SystemExit):  # the event loop goes on, and the task fails
        await work
