"""Every hook of Studio. A plugin is `class Plugin(StudioHooks)` whose methods carry `@hookimpl`.

A hook takes the plugin's context and at most one payload. Registration hooks are asked once at start, in load order;
decisions are asked of the owner that the configuration names; the chain runs in order; notifications are isolated,
with 2 s each, and switched off after three failures in 60 s.
"""
# No hook of the base is ever called, see `StudioHooks`:
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pluggy

from studio.plugins.manifest import Manifest  # noqa: TC001 - plugins' type checkers resolve it at run time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import typer

    from studio.activity import ActivityAction
    from studio.auth import AccessQuery, Actor, Credentials, Decision, Permission
    from studio.database import Collection, Migration
    from studio.health import HealthCheck
    from studio.jobs.contract import CostDecision, CostHold, CostSettlement, JobBackend, JobKind
    from studio.model import Doc
    from studio.plugins.context import PluginContext
    from studio.providers.contract import ProviderSpec
    from studio.realtime import Event, RealtimeTransport
    from studio.web.deps import Middleware, RunOnce
    from studio.web.route import Route

F = TypeVar("F", bound="Callable[..., Any]")
_spec = pluggy.HookspecMarker("studio")
_impl = pluggy.HookimplMarker("studio")


def hookimpl(function: F) -> F:
    """Mark a method as the implementation of the hook of the same name."""
    return _impl(function)


class StudioHooks:
    """The base of every plugin. A hook that it does not override is not asked, so none has a body here."""

    manifest: ClassVar[Manifest]

    # Registration hooks: sync, asked once at start.

    @_spec
    def register_routes(self, ctx: PluginContext) -> Iterable[Route]:
        """Return the plugin's routes, all under the prefixes it has reserved."""

    @_spec
    def register_middlewares(self, ctx: PluginContext) -> Iterable[Middleware]:
        """Return middlewares `async (request, handler) -> response` round the plugin's own routes, outermost first."""

    @_spec
    def wrap_route(self, ctx: PluginContext, route: Route) -> Middleware | None:
        """Return a middleware round a route of any plugin, None to leave it; asked once, before listening."""

    @_spec
    def register_collections(self, ctx: PluginContext) -> Iterable[Collection]:
        """Return the collections that the plugin owns, with their indexes."""

    @_spec
    def register_migrations(self, ctx: PluginContext) -> Iterable[Migration]:
        """Return the plugin's data migrations; each runs once, before `lifespan`."""

    @_spec
    def register_permissions(self, ctx: PluginContext) -> Iterable[Permission]:
        """Return the permissions that the plugin's routes name."""

    @_spec
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return provider declarations; nothing is imported until one is used."""

    @_spec
    def register_jobs(self, ctx: PluginContext) -> Iterable[JobKind]:
        """Return the kinds of job that the plugin owns."""

    @_spec
    def register_events(self, ctx: PluginContext) -> Iterable[Event]:
        """Return the realtime events that the plugin publishes."""

    @_spec
    def register_activities(self, ctx: PluginContext) -> Iterable[ActivityAction]:
        """Return the activity actions that the plugin logs."""

    @_spec
    def register_templates(self, ctx: PluginContext) -> Iterable[Path]:
        """Return folders of Jinja templates, addressed as `<plugin name>/<file>`."""

    @_spec
    def register_commands(self, ctx: PluginContext) -> Iterable[typer.Typer]:
        """Return command groups for the `studio` command line; each Typer names itself."""

    @_spec
    def register_health_checks(self, ctx: PluginContext) -> Iterable[HealthCheck]:
        """Return checks for `/readyz`, each with its own deadline."""

    # ------------------------------------------------------------ lifecycle and backends

    @_spec
    def lifespan(self, ctx: PluginContext) -> AbstractAsyncContextManager[None]:
        """Return a context manager entered before listening and left at stop; provide services in it."""

    @_spec
    def database_backend(self, ctx: PluginContext) -> AbstractAsyncContextManager[str] | None:
        """Return a context manager that yields a MongoDB URL, asked only when none is configured."""

    @_spec
    def cache_backend(self, ctx: PluginContext) -> AbstractAsyncContextManager[str] | None:
        """Return a context manager that yields a Redis URL, asked only when none is configured."""

    @_spec
    def realtime_backends(self, ctx: PluginContext) -> Iterable[RealtimeTransport]:
        """Return the transports that carry published events; asked after every `lifespan` has started."""

    @_spec
    def job_backend(self, ctx: PluginContext) -> JobBackend | None:
        """Return the job engine; the first plugin in load order with an answer has it."""

    @_spec
    def idempotency_backend(self, ctx: PluginContext) -> RunOnce | None:
        """Return what runs a write that carries an Idempotency-Key; the first answer in load order has it."""

    # ------------------------------------------------------------ decisions (first answer of the configured owner)

    @_spec
    def authenticate(self, ctx: PluginContext, credentials: Credentials) -> Awaitable[Actor | None]:
        """Return who the credentials belong to, None when they are not good."""

    @_spec
    def authorize(self, ctx: PluginContext, query: AccessQuery) -> Awaitable[Decision | None]:
        """Return whether the actor may; None means no."""

    @_spec
    def hold_cost(self, ctx: PluginContext, hold: CostHold) -> Awaitable[CostDecision | None]:
        """Reserve the estimated cost once per (job, attempt); None means no."""

    @_spec
    def settle_cost(self, ctx: PluginContext, settlement: CostSettlement) -> Awaitable[bool | None]:
        """Capture or release a hold, once per (job, attempt, kind); True when it is recorded."""

    # ------------------------------------------------------------ chain (in order, inside `finalizing`)

    @_spec
    def finalize_asset(self, ctx: PluginContext, asset: Doc) -> Awaitable[Doc | None]:
        """Return fields to set on the new asset (scores, thumbnail, moderation), None for nothing to add."""

    # ------------------------------------------------------------ notifications (isolated, 2 s)

    @_spec
    def activity_recorded(self, ctx: PluginContext, activity: Doc) -> Awaitable[None]:
        """Hear that an activity was stored."""

    @_spec
    def job_changed(self, ctx: PluginContext, job: Doc) -> Awaitable[None]:
        """Hear that a job entered another state or made progress."""

    @_spec
    def error_captured(self, ctx: PluginContext, error: Doc) -> Awaitable[None]:
        """Hear of a log record of level error, as it was written: at, level, event, source, exception, facts."""
