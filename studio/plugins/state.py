"""What became of each plugin, for `studio plugins list`, `/api/plugins` and the 503s of a failed one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from importlib.metadata import EntryPoint, distributions
from typing import TYPE_CHECKING, Any

from studio.boundary import contained, exit_refused
from studio.errors import PluginError
from studio.telemetry import get_logger, redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

    from studio.hooks import StudioHooks
    from studio.plugins.context import PluginContext

GROUP, PREFIXES = "studio.plugins", "studio.prefixes"
"""Entry point groups: `name = "package.plugin:Plugin"`, and `"/api/prefix" = ` the same, known before import."""


class PluginState(StrEnum):
    """Life of a plugin: off | discovered → imported → registered → ready → stopped, or failed | blocked."""

    OFF = "off"
    DISCOVERED = "discovered"
    IMPORTED = "imported"
    REGISTERED = "registered"
    READY = "ready"
    STOPPED = "stopped"
    FAILED = "failed"
    BLOCKED = "blocked"


log = get_logger("studio.plugins")
ALIVE = (PluginState.IMPORTED, PluginState.REGISTERED, PluginState.READY)
BROKEN = (PluginState.FAILED, PluginState.BLOCKED)


@dataclass(slots=True)
class PluginRecord:
    """One plugin: where it comes from, how far it got, how long each phase took (ms), and why it stopped."""

    name: str
    entry_point: EntryPoint
    prefixes: tuple[str, ...] = ()
    state: PluginState = PluginState.DISCOVERED
    phase: str = "discover"
    error: str | None = None
    timings: dict[str, float] = field(default_factory=dict)
    plugin: StudioHooks | None = None
    ctx: PluginContext | None = None

    @property
    def alive(self) -> bool:
        """True while the plugin takes part."""
        return self.state in ALIVE

    def fail(self, phase: str, reason: str, state: PluginState = PluginState.FAILED) -> None:
        """Note the phase and the reason; the plugin takes no further part."""
        self.state, self.phase, self.error = state, phase, redact(reason)

    def reason(self) -> str | None:
        """Return what anybody may know of why it is off: an error's own words are for operators."""
        return self.error if self.state == PluginState.OFF else self.error and f"{self.state} in {self.phase}"

    def describe(self) -> dict[str, Any]:
        """Return what operators see, camelCase, without the plugin's objects."""
        dist = self.entry_point.dist
        manifest = self.plugin.manifest if self.plugin else None
        return {
            "name": self.name,
            "state": str(self.state),
            "phase": self.phase,
            "error": self.error,
            "distribution": dist.name if dist else None,
            "version": dist.version if dist else None,
            "fingerprint": fingerprint(dist) if dist else None,
            "prefixes": list(self.prefixes),
            "requires": list(manifest.requires) if manifest else [],
            "timingsMs": {phase: round(ms, 1) for phase, ms in self.timings.items()},
        }


def fingerprint(distribution: Distribution) -> str | None:
    """Return the SHA-256 of a distribution's list of files and their hashes; None where it keeps none."""
    listed = distribution.read_text("RECORD")
    return hashlib.sha256(listed.encode()).hexdigest() if listed else None


def reason_of(error: BaseException) -> str:
    """Say in one line why a plugin cannot be used."""
    if isinstance(error, PluginError):
        return str(error)
    if isinstance(error, SystemExit):
        return str(exit_refused(error))
    return f"{type(error).__name__}: {error}"


def discover() -> dict[str, PluginRecord]:
    """Read the entry points once, in name order. Two of one name: both are named, neither is used."""
    records: dict[str, PluginRecord] = {}
    points = list(_entry_points())
    prefixes = [point for point in points if point.group == PREFIXES]
    for point in sorted((p for p in points if p.group == GROUP), key=lambda p: p.name):
        reserved = tuple("/" + p.name.strip("/") for p in prefixes if p.value == point.value)
        record = PluginRecord(point.name, point, reserved)
        if twin := records.get(point.name):
            if twin.entry_point.value == point.value:
                continue  # the same distribution seen twice on the path, e.g. editable and installed
            owners = sorted({str(p.dist.name if p.dist else p.value) for p in (point, twin.entry_point)})
            twin.fail(
                "discover", f"the name {point.name!r} is claimed by {' and '.join(owners)}: uninstall one"
            )
            continue
        records[point.name] = record
    return records


def _entry_points() -> Iterator[EntryPoint]:
    """Yield the entry points of every distribution once; an unreadable one costs only itself."""
    seen = {""}
    for distribution in distributions():
        points, name = list[EntryPoint](), ""
        with contained(partial(_unreadable, distribution)):  # a broken dist-info breaks its parser anyhow
            points = [p for p in distribution.entry_points if p.group in (GROUP, PREFIXES)]
            name = distribution.name.lower().replace("_", "-") if points else ""
        if name not in seen:
            seen.add(name)
            yield from points


def _unreadable(distribution: Distribution, error: Exception) -> None:
    log.warning("distribution_unreadable", distribution=str(distribution), error=repr(error))
