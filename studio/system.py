"""The kernel's own routes: health, metrics, plugins and capabilities."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import Field

from studio.auth import PUBLIC, Permission
from studio.boundary import EXITS, contained
from studio.errors import PluginError
from studio.health import HealthCheck
from studio.model import Model
from studio.plugins.registry import Declared
from studio.telemetry import redact
from studio.web.route import Request, Route

if TYPE_CHECKING:
    from studio.app import Studio
    from studio.database import Collection


PROBE_LIMIT_S = 5.0
"""No check may hold `/readyz` longer, whatever deadline it asks for."""


class Alive(Model):
    """The process runs."""

    status: str


class Health(Model):
    """The answer of `/readyz`: what was looked at, check by check."""

    status: str
    checks: dict[str, dict[str, Any]] = Field(default_factory=dict)


class PluginPublic(Model):
    """One plugin, as operators see it; times in ms."""

    name: str
    state: str
    phase: str
    error: str | None
    distribution: str | None
    version: str | None
    fingerprint: str | None
    """SHA-256 of the installed distribution's list of files and hashes: another one means other code."""
    prefixes: list[str]
    requires: list[str]
    timings_ms: dict[str, float]
    hooks_off: list[str]
    """Notification hooks that failed three times in 60 s and are asked no more until a restart."""


class Plugins(Model):
    """All plugins that are installed, and why only some may run (recovery mode)."""

    items: list[PluginPublic]
    recovery: str | None


class Capabilities(Model):
    """What the front end can offer now, and why something is off."""

    features: list[dict[str, Any]]
    providers: list[dict[str, Any]]


class System:
    """Handlers over the running application."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def get_health(self, request: Request) -> web.Response:
        """Say that the process runs."""
        return web.Response(body=b'{"status":"ok"}', content_type="application/json")

    async def get_readiness(self, request: Request) -> web.Response:
        """Say whether the platform can do its work, check by check."""
        checks = [check for _, check in self._studio.registry.all("health_checks")]
        results = dict(zip((c.name for c in checks), await asyncio.gather(*map(_probe, checks)), strict=True))
        down = not self._studio.ready or any(c.critical and not results[c.name]["ok"] for c in checks)
        body = Health(status="unavailable" if down else "ok", checks=results)
        return web.json_response(text=body.model_dump_json(by_alias=True), status=503 if down else 200)

    async def get_metrics(self, request: Request) -> web.Response:
        """Return the metrics in Prometheus' text format."""
        return web.Response(
            body=self._studio.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    async def list_plugins(self, request: Request) -> Plugins:
        """List every installed plugin with its state, phase, reason and timings."""
        off = self._studio.dispatcher.switched_off
        records = self._studio.loader.records.values()
        found = ({**record.describe(), "hooksOff": off(record.name)} for record in records)
        items = [PluginPublic.model_validate(item) for item in found]
        return Plugins(items=items, recovery=self._studio.recovery)

    async def get_capabilities(self, request: Request) -> dict[str, Any]:
        """List features, providers and models, with the reason where one is off."""
        records = self._studio.loader.records.values()
        features = [{"name": r.name, "available": r.alive, "reason": r.reason()} for r in records]
        return {"features": features, "providers": self._studio.services.providers.describe()}

    async def check_database(self) -> str:
        """Ask the database for a sign of life."""
        await self._studio.services.database.ping()
        return "answers"

    async def check_recovery(self) -> str:
        """Hold readiness back while most of the platform is left out."""
        raise PluginError("only the plugins of plugins.recovery run; GET /api/plugins says why")

    async def check_cache(self) -> str:
        """Ask Redis for a sign of life; without it the platform is slower, not down."""
        if not await self._studio.services.cache.ping():
            raise ConnectionError("does not answer; permissions and rate limits are asked of the database")
        return "answers"


async def _probe(check: HealthCheck) -> dict[str, Any]:
    start, note = time.perf_counter(), ""
    with contained(kinds=EXITS) as failed:  # a check that fails in any way is a check that failed
        async with asyncio.timeout(min(check.deadline_s, PROBE_LIMIT_S)):
            note = str(await check.probe())
    if failed.error:
        note = redact(f"{type(failed.error).__name__}: {failed.error}".rstrip(": "))
    return {
        "ok": failed.error is None,
        "note": note,
        "critical": check.critical,
        "ms": round((time.perf_counter() - start) * 1000, 1),
    }


def system_declared(studio: Studio, collections: tuple[Collection, ...]) -> Declared:
    """Return what the kernel declares of itself, in the shape that plugins use."""
    system = System(studio)
    return Declared(
        routes=[
            Route("GET", "/healthz", system.get_health, PUBLIC, returns=Alive, rate="none"),
            Route("GET", "/readyz", system.get_readiness, PUBLIC, returns=Health, rate="none"),
            Route("GET", "/metrics", system.get_metrics, "platform:operate", produces="text/plain"),
            Route("GET", "/api/plugins", system.list_plugins, "platform:operate", returns=Plugins),
            Route("GET", "/api/capabilities", system.get_capabilities, PUBLIC, returns=Capabilities),
        ],
        permissions=[Permission("platform:operate", "Operate the installation", "platform")],
        collections=list(collections),
        health_checks=[
            HealthCheck("database", system.check_database),
            HealthCheck("cache", system.check_cache, critical=False),
            *([HealthCheck("recovery", system.check_recovery)] if studio.recovery else []),
        ],
    )
