"""What a handler takes and gives, read once from its signature."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter

from studio.errors import PluginError
from studio.web.deps import WRITES
from studio.web.route import Page
from studio.web.wire import converter

if TYPE_CHECKING:
    from studio.web.route import Route

PARAMETER = re.compile(r"\{(\w*)\}")
_METHOD = "(GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE) "
_ADDRESS = re.compile(_METHOD + r"(/|(/([A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\}))+/?)")


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What a route takes and gives: `body` checks what is sent; `arguments` are what its handler gets besides."""

    body: TypeAdapter[Any] | None
    body_optional: bool
    query: type[BaseModel] | None
    arguments: tuple[str, ...]
    returns: type[BaseModel] | None
    paged: bool


@lru_cache(maxsize=1024)  # a start asks twice: when it checks the routes and when it binds them
def plan_of(plugin: str, route: Route) -> RoutePlan:
    """Read a route's handler; raises PluginError naming plugin, handler and what to do."""
    handler: Any = route.handler
    where = f"plugin {plugin!r}, handler {getattr(handler, '__qualname__', handler)}"
    if not inspect.iscoroutinefunction(handler):
        raise PluginError(f"{where}: must be `async def`")
    if not _ADDRESS.fullmatch(f"{route.method} {route.path}"):
        how = "the method is in capitals, a segment is literal or one {snake_case} parameter"
        raise PluginError(f"{where}: {route.method} {route.path}: {how}")
    names, given = tuple(inspect.signature(handler).parameters)[1:], inspect.get_annotations(handler)
    if unknown := set(names) - {"body", "query", "target", *PARAMETER.findall(route.path)}:
        raise PluginError(
            f"{where}: nothing fills {sorted(unknown)}; body, query, target or path parameters do"
        )
    if "target" in names and route.load is None:
        raise PluginError(f"{where}: takes `target`, so the route needs a `load`")
    hints = {name: _hint(handler, name, where) for name in ("body", "query", "return") if name in given}
    body, query, gives = hints.get("body"), hints.get("query"), hints.get("return")
    if "body" in names and (body is None or route.method not in WRITES):
        raise PluginError(f"{where}: `body` needs a model as annotation and POST, PUT, PATCH or DELETE")
    if "query" in names and not _is_model(query):
        raise PluginError(f"{where}: `query` needs a model as annotation")
    returns = route.returns or (gives if _is_model(gives) else None)
    if returns is None and (get_origin(gives) or gives) in (Page, dict, list):
        raise PluginError(f"{where}: gives documents, so the route must name the public model in `returns`")
    converter(returns)
    adapter: TypeAdapter[Any] | None = TypeAdapter(body) if body is not None else None
    return RoutePlan(adapter, type(None) in get_args(body), query, names, returns, gives is Page)


def _hint(handler: Any, name: str, where: str) -> Any:
    """Return one annotation, resolved alone: the others may be imported for type checkers only."""
    only = SimpleNamespace(__annotations__={name: handler.__annotations__[name]})
    try:
        return get_type_hints(only, handler.__globals__)[name]
    except NameError as error:
        if name == "return":
            return None
        raise PluginError(f"{where}: {error}; import it outside `if TYPE_CHECKING`") from error


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
