"""From the registry to an aiohttp application: every plugin's routes, inside its own middlewares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.errors import PluginError
from studio.plugins.context import PluginContext
from studio.plugins.state import BROKEN, PluginState
from studio.telemetry import get_logger
from studio.web.deps import WebDeps, nobody_keeps
from studio.web.middleware import build_application
from studio.web.routing import check_routes
from studio.web.typed import bind

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from studio.app import Studio


def application_of(studio: Studio) -> web.Application:
    """Return the application of everything that is registered now; nothing listens yet."""
    deps = WebDeps(
        auth=studio.services.auth,
        settings=studio.settings,
        permissions=studio.services.permissions,
        observe=studio.metrics.observe_request,
        run_once=studio.services.run_once or nobody_keeps,
    )
    bound = []
    asked = {i.plugin: i for i in studio.dispatcher.implementations("wrap_route")}
    wrapping = [asked[name] for name in studio.settings.plugins.global_middlewares if name in asked]
    for name, declared in studio.registry.plugins.items():
        record = studio.loader.records.get(name)
        ctx = (record and record.ctx) or PluginContext(name, studio.services, None, get_logger(name))
        for route in declared.routes:
            middlewares = [found for ask in wrapping if (found := ask(route))] + declared.middlewares
            bound.append((name, route, bind(route, ctx, deps, middlewares)))
    app = build_application(bound, deps=deps, unavailable=unavailable(studio))
    if folders := {name: list(d.templates) for name, d in studio.registry.plugins.items() if d.templates}:
        _set_up_templates(app, folders)
    return app


def _set_up_templates(app: web.Application, folders: dict[str, list[Path]]) -> None:
    import aiohttp_jinja2  # noqa: PLC0415 - an installation without pages does not pay for Jinja
    from jinja2 import FileSystemLoader, PrefixLoader  # noqa: PLC0415 - as above

    loader = PrefixLoader({name: FileSystemLoader(paths) for name, paths in folders.items()})
    aiohttp_jinja2.setup(app, loader=loader, autoescape=True, auto_reload=False)


def unavailable(studio: Studio) -> dict[str, tuple[str, str]]:
    """Return the reserved prefixes of plugins that do not run: {prefix: (plugin, failed | blocked | off)}.

    Where two that do not run share a prefix, the failed one speaks.
    """
    records = studio.loader.records.values()
    return {
        prefix: (record.name, str(record.state))
        for state in (PluginState.OFF, *reversed(BROKEN))
        for record in records
        if record.state is state
        for prefix in record.prefixes
    }


def refuse_bad_routes(studio: Studio) -> dict[str, str]:
    """Return {plugin: what is wrong with its routes}; such a plugin must not start."""
    prefixes = {r.name: r.prefixes for r in studio.loader.records.values()} | {
        "studio": ("/healthz", "/readyz", "/metrics", "/api")
    }
    found = check_routes(studio.registry.all("routes"), studio.registry.index("permissions"), prefixes)
    if "studio" in found:
        raise PluginError("; ".join(found["studio"]))
    return {name: "; ".join(problems) for name, problems in found.items()}
