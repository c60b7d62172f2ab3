"""Everything that plugins have declared, each thing with its owner; a plugin enters whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.activity import ActivityAction
from studio.auth import Permission
from studio.database import Collection, Migration
from studio.errors import PluginError
from studio.health import HealthCheck
from studio.jobs.contract import JobKind
from studio.providers.contract import ProviderSpec
from studio.realtime import Event
from studio.web.route import Route

if TYPE_CHECKING:
    from collections.abc import Iterable

    import typer

    from studio.dispatch import Dispatcher
    from studio.web.deps import Middleware


@dataclass(slots=True)
class Declared:
    """What one plugin's registration hooks returned."""

    routes: list[Route] = field(default_factory=list)
    middlewares: list[Middleware] = field(default_factory=list)
    collections: list[Collection] = field(default_factory=list)
    migrations: list[Migration] = field(default_factory=list)
    permissions: list[Permission] = field(default_factory=list)
    providers: list[ProviderSpec] = field(default_factory=list)
    jobs: list[JobKind] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    activities: list[ActivityAction] = field(default_factory=list)
    templates: list[Path] = field(default_factory=list)
    commands: list[typer.Typer] = field(default_factory=list)
    health_checks: list[HealthCheck] = field(default_factory=list)


KEYS: dict[str, Callable[[Any], str]] = {
    "routes": lambda route: f"{route.method} {route.path}",
    "collections": lambda collection: str(collection.name),
    "permissions": lambda permission: str(permission.name),
    "providers": lambda spec: f"{spec.capability}/{spec.name}",
    "jobs": lambda kind: str(kind.name),
    "events": lambda event: str(event.name),
    "activities": lambda action: str(action.code),
    "health_checks": lambda check: str(check.name),
    "commands": lambda group: str(group.info.name),
    "migrations": lambda migration: f"{migration.version}",
}
"""What must be unique, and under which key; migrations only within their plugin."""
TYPES: dict[str, Any] = {
    "routes": Route, "middlewares": Callable, "collections": Collection, "migrations": Migration,
    "permissions": Permission, "providers": ProviderSpec, "jobs": JobKind, "events": Event,
    "activities": ActivityAction, "templates": Path, "health_checks": HealthCheck,
}  # fmt: skip
"""What each hook must return; a wrong object that came in would break everybody later, far from its owner."""
SINGULAR = {"activities": "activity"}


class Registry:
    """Declarations by plugin, in load order."""

    def __init__(self) -> None:
        self.plugins: dict[str, Declared] = {}

    def add(self, name: str, declared: Declared) -> None:
        """Take in a plugin's declarations, all or none; raises PluginError naming both owners of a twin."""
        problems = [p for k in KEYS if getattr(declared, k) for p in self._duplicates(name, declared, k)]
        if problems:
            raise PluginError("; ".join(problems))
        self.plugins[name] = declared

    def _duplicates(self, name: str, declared: Declared, kind: str) -> Iterable[str]:
        owners = {} if kind == "migrations" else {KEYS[kind](item): owner for owner, item in self.all(kind)}
        for item in getattr(declared, kind):
            key = KEYS[kind](item)
            if key in owners:
                what = SINGULAR.get(kind, kind[:-1])
                yield f"{what} {key!r} belongs to plugin {owners[key]!r}, {name!r} cannot have it too"
            owners[key] = name

    def remove(self, name: str) -> None:
        """Forget a plugin."""
        self.plugins.pop(name, None)

    def all(self, kind: str) -> list[tuple[str, Any]]:
        """Return (owner, declaration) of one kind, in load order."""
        return [(name, item) for name, declared in self.plugins.items() for item in getattr(declared, kind)]

    def index(self, kind: str) -> dict[str, Any]:
        """Return the declarations of one kind by their key."""
        return {KEYS[kind](item): item for _, item in self.all(kind)}


def declared_by(dispatcher: Dispatcher, name: str) -> Declared:
    """Ask one plugin all its registration hooks; raises PluginError at the first bad answer."""
    found = {kind: dispatcher.collect(f"register_{kind}", name) for kind in Declared.__slots__}
    for kind, wanted in TYPES.items():
        if wrong := next((item for item in found[kind] if not isinstance(item, wanted)), None):
            found_type = type(wrong).__name__
            raise PluginError(f"register_{kind}: returned a {found_type}, expected {wanted.__name__}")
    return Declared(**found)
