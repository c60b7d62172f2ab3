"""Which route answers: a tree by path segment; aiohttp scans all dynamic routes below a literal prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from studio.auth import PUBLIC, SIGNED_IN
from studio.boundary import contained
from studio.errors import NotFoundError, PluginUnavailableError
from studio.plugins.state import reason_of
from studio.web.deadline import Deadline
from studio.web.plan import PARAMETER, plan_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from studio.auth import Permission
    from studio.web.deps import Handler
    from studio.web.route import Route


class TypedRoute(web.ResourceRoute):
    """A route as aiohttp sees it, with what the outermost layer needs to know of it."""

    def __init__(
        self, plugin: str, route: Route, handler: Handler, table: RouteTable, default_s: float
    ) -> None:
        super().__init__(route.method, handler, table)
        self.plugin, self.template = plugin, route.path
        self.deadline = table.deadline(default_s if route.deadline_s is None else route.deadline_s)
        self.names = PARAMETER.findall(route.path)


class _Node:
    __slots__ = ("literal", "routes", "wild")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.wild: _Node | None = None
        self.routes: dict[str, TypedRoute] = {}

    def child(self, segment: str) -> _Node:
        if segment.startswith("{"):
            self.wild = self.wild or _Node()
            return self.wild
        return self.literal.setdefault(segment, _Node())

    def find(
        self, parts: list[str], at: int, method: str, values: list[str], seen: set[str]
    ) -> TypedRoute | None:
        if at == len(parts):
            seen.update(self.routes)
            return self.routes.get(method)
        if (child := self.literal.get(parts[at])) and (
            found := child.find(parts, at + 1, method, values, seen)
        ):
            return found
        if self.wild and parts[at]:
            values.append(parts[at])
            if found := self.wild.find(parts, at + 1, method, values, seen):
                return found
            values.pop()
        return None


class RouteTable(web.PlainResource):
    """All typed routes as one resource of aiohttp's own router, below whatever else is registered there.

    Literal segments go before parameters, GET answers HEAD. `unavailable` maps the prefixes of plugins that
    do not run to (plugin, "failed" | "blocked" | "off"): 503 plugin_unavailable, for "off" 404 plugin_off;
    routes of plugins that run go first.
    """

    def __init__(self, default_s: float, unavailable: Mapping[str, tuple[str, str]]) -> None:
        super().__init__("/")
        self._not_running = unavailable
        self._default_s = default_s
        self._deadlines: dict[float, Deadline] = {}
        self._plain: dict[tuple[str, str], TypedRoute] = {}
        self._root = _Node()
        self._refuse = web.ResourceRoute("*", self._unavailable, self)

    def add(self, plugin: str, route: Route, handler: Handler) -> None:
        """Register a bound route; `check_routes` has refused those that another plugin has."""
        node = self._root
        for segment in route.path.split("/")[1:]:
            node = node.child(segment)
        node.routes[route.method] = typed = TypedRoute(plugin, route, handler, self, self._default_s)
        if "{" not in route.path:
            self._plain[route.method, route.path] = typed
        if route.method == "GET":
            node.routes.setdefault("HEAD", typed)

    def deadline(self, seconds: float) -> Deadline | None:
        """Return the deadline that routes of the same allowance share; 0 means none."""
        if not seconds:
            return None
        if seconds not in self._deadlines:
            self._deadlines[seconds] = Deadline(seconds)
        return self._deadlines[seconds]

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Return the match and the methods that the path knows."""
        seen = set[str]()
        if (found := self.match(request, seen)) is not None:  # a match without parameters is an empty dict
            return found, seen
        if not seen and request.method != "OPTIONS" and self._owner(request.rel_url.path_safe):
            return UrlMappingMatchInfo({}, self._refuse), seen
        return None, seen

    def match(self, request: web.Request, seen: set[str] | None = None) -> UrlMappingMatchInfo | None:
        """Return the match of a route that runs; `seen` gets the methods that the path knows."""
        path, values = request.rel_url.path_safe, list[str]()
        if found := self._plain.get((request.method, path)):
            return UrlMappingMatchInfo({}, found)
        found = self._root.find(path.split("/"), 1, request.method, values, set() if seen is None else seen)
        if found is None:
            return None
        if "%" in path:
            values = [value.replace("%2F", "/").replace("%25", "%") for value in values]
        return UrlMappingMatchInfo(dict(zip(found.names, values, strict=True)), found)

    def _owner(self, path: str) -> tuple[str, str] | None:
        while path and path not in self._not_running:
            path = path.rpartition("/")[0]
        return self._not_running.get(path)

    async def _unavailable(self, request: web.Request) -> web.StreamResponse:
        plugin, reason = self._owner(request.rel_url.path_safe) or ("", "off")
        if reason == "off":
            raise NotFoundError(f"Plugin {plugin} is switched off here.", code="plugin_off", plugin=plugin)
        raise PluginUnavailableError(
            f"Plugin {plugin} is not running ({reason}); GET /api/plugins tells why.",
            plugin=plugin,
            reason=reason,
        )


def check_routes(
    routes: Iterable[tuple[str, Route]],
    permissions: Mapping[str, Permission],
    prefixes: Mapping[str, Sequence[str]],
) -> dict[str, list[str]]:
    """Return what is wrong with the declarations, by plugin; a duplicate is its later owner's problem."""
    owners: dict[tuple[str, str], str] = {}
    problems: dict[str, list[str]] = {}
    for plugin, route in routes:
        found = _problems(plugin, route, permissions, prefixes.get(plugin, ()))
        key = (route.method, PARAMETER.sub("{}", route.path))
        if key in owners:
            found.append(f"it belongs to plugin {owners[key]!r} already, {plugin!r} cannot have it too")
        owners.setdefault(key, plugin)
        if found:
            problems.setdefault(plugin, []).extend(f"{route.method} {route.path}: {text}" for text in found)
    return problems


def _problems(
    plugin: str, route: Route, permissions: Mapping[str, Permission], prefixes: Sequence[str]
) -> list[str]:
    found = list[str]()
    with contained(lambda error: found.append(reason_of(error))):  # annotations may raise anything
        plan_of(plugin, route)
    permission = permissions.get(route.permission)
    if permission is None and route.permission not in (PUBLIC, SIGNED_IN):
        found.append(f"no plugin registers the permission {route.permission!r} (register_permissions does)")
    if permission and permission.scope == "project" and "{project_id}" not in route.path and not route.load:
        found.append(f"{route.permission!r} is a project's: put {{project_id}} in the path or give a `load`")
    if not any(route.path == prefix or route.path.startswith(f"{prefix}/") for prefix in prefixes):
        found.append(f"its path is outside the plugin's prefixes ({', '.join(prefixes) or 'none'})")
    return found
