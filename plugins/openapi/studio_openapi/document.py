"""OpenAPI 3.1 from the same declarations that serve the requests."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from studio import PUBLIC, SIGNED_IN, contained, plan_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from studio import Doc, Route, RoutePlan

    Found = tuple[str, Route, RoutePlan]
    Wanted = tuple[Any, Any, TypeAdapter[Any]]

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_JSON = "application/json"
_TEXT, _BEARER = {"type": "string"}, {"type": "http", "scheme": "bearer"}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "requestId"],
    "properties": dict.fromkeys(("type", "title", "code", "detail", "requestId"), _TEXT)
    | {
        "status": {"type": "integer"},
        "retryWith": {"type": "array", "items": {"type": "object"}},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"pointer": _TEXT, "message": _TEXT}},
        },
    },
}
_NOTHING = ("None", None)
_OK, _NO_CONTENT, _MOVED, _BAD = 200, 204, 300, 400
_KEY_PARAMETER = {"name": "Idempotency-Key", "in": "header", "schema": {**_TEXT, "maxLength": 255}}


def build_openapi(routes: Sequence[tuple[str, Route]], title: str, version: str) -> Doc:
    """Return the document of (plugin, route) pairs, in a stable order; raises PluginError (see `plan_of`)."""
    found = sorted(((plugin, route, plan_of(plugin, route)) for plugin, route in routes), key=_order)
    schemas, definitions = _schemas(found)
    paths: dict[str, Doc] = {}
    for (plugin, route, plan), name in zip(found, _names(found), strict=True):
        operation = _operation(plugin, route, plan, schemas, definitions)
        paths.setdefault(route.path, {})[route.method.lower()] = {"operationId": name, **operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **dict(sorted(definitions.items()))},
            "securitySchemes": {"bearer": {**_BEARER, "bearerFormat": "JWT"}, "apiKey": _BEARER},
        },
    }


def _names(found: Sequence[Found]) -> list[str]:
    """Return unique operation ids: the handler's name, on a clash with the plugin, then with the address."""
    names = [route.handler.__name__ for _, route, _ in found]
    clash = Counter(names)
    names = [f"{f[0]}_{name}" if clash[name] > 1 else name for f, name in zip(found, names, strict=True)]
    clash = Counter(names)
    places = ["_".join([route.method.lower(), *re.findall(r"\w+", route.path)]) for _, route, _ in found]
    return [f"{n}_{place}" if clash[n] > 1 else n for n, place in zip(names, places, strict=True)]


def _order(item: Found) -> tuple[str, str, str]:
    return item[1].path, item[1].method, item[0]


def _schemas(found: Sequence[Found]) -> tuple[dict[Any, Doc], dict[str, Doc]]:
    """Return the schema of each (path, method, role), and all definitions that they refer to.

    A plugin's model that has no schema is left out, and the rest of the document stays; `studio check` names it.
    """
    wanted: list[Wanted] = []
    for _, route, plan in found:
        place = (route.path, route.method)
        if plan.body:
            wanted.append(((*place, "body"), "validation", plan.body))
        if plan.query:
            wanted.append(((*place, "query"), "validation", TypeAdapter(plan.query)))
        if plan.returns:
            wanted.append(((*place, "returns"), "serialization", TypeAdapter(plan.returns)))
    with contained():  # pydantic lets out whatever a plugin's annotations raise
        return _together(wanted)
    return _together([one for one in wanted if _has_schema(one)])


def _has_schema(wanted: Wanted) -> bool:
    with contained() as failed:  # a plugin's annotations, one model at a time
        _together([wanted])
    return failed.error is None


def _together(wanted: list[Wanted]) -> tuple[dict[Any, Doc], dict[str, Doc]]:
    schemas, shared = TypeAdapter.json_schemas(wanted, ref_template="#/components/schemas/{model}")
    return {key: schema for (key, _), schema in schemas.items()}, shared.get("$defs", {})


def _operation(
    plugin: str, route: Route, plan: RoutePlan, schemas: Mapping[Any, Doc], definitions: Mapping[str, Doc]
) -> Doc:
    place = (route.path, route.method)
    first, _, rest = (inspect.getdoc(route.handler) or "").partition("\n")
    operation: Doc = {
        "tags": [plugin],
        "summary": route.summary or first or route.handler.__name__.replace("_", " "),
        "parameters": _parameters(route, schemas.get((*place, "query"), {}), definitions),
        "responses": {
            str(status): answer for status, answer in sorted(_responses(route, plan, schemas).items())
        },
        "security": [] if route.permission == PUBLIC else [{"bearer": []}, {"apiKey": []}],
        "x-permission": route.permission,
    }
    if rest.strip():
        operation["description"] = rest.strip()
    body = schemas.get((*place, "body"))
    if body or (route.media != (_JSON,) and route.method in _WRITES):
        raw = {"type": "string", "format": "binary"}
        content = {kind: {"schema": body if body and "json" in kind else raw} for kind in route.media}
        operation["requestBody"] = {"required": not plan.body_optional, "content": content}
    return operation


def _parameters(route: Route, query: Doc, definitions: Mapping[str, Doc]) -> list[Doc]:
    found: list[Doc] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        for name in re.findall(r"\{(\w*)\}", route.path)
    ]
    model = definitions[query["$ref"].rpartition("/")[2]] if "$ref" in query else query
    found += [
        {"name": name, "in": "query", "required": name in model.get("required", ()), "schema": schema}
        for name, schema in model.get("properties", {}).items()
    ]
    return [*found, _KEY_PARAMETER] if route.idempotent and route.method in _WRITES else found


def _responses(route: Route, plan: RoutePlan, schemas: Mapping[Any, Doc]) -> dict[int, Doc]:
    schema = schemas.get((route.path, route.method, "returns"))
    if schema and (plan.paged or route.many):
        schema = {"type": "array", "items": schema}
    if schema and plan.paged:
        page = {"items": schema, "nextCursor": {"type": ["string", "null"]}}
        schema = {"type": "object", "required": list(page), "properties": page}
    done: Doc = {"description": "Done"}
    gives = route.handler.__annotations__.get("return")
    silent = route.status == _NO_CONTENT or _MOVED <= route.status < _BAD
    silent |= route.produces == _JSON and gives in _NOTHING
    if schema or not silent:
        done["content"] = {route.produces: {"schema": schema} if schema else {}}
    status = _NO_CONTENT if silent and not schema and route.status == _OK else route.status
    good = dict.fromkeys([status, *(s for s in route.also if s < _BAD)], done)
    problem = {"$ref": "#/components/schemas/Problem"}
    bad: Doc = {"description": "Refused", "content": {"application/problem+json": {"schema": problem}}}
    return dict.fromkeys(_refusals(route, plan), bad) | good


def _refusals(route: Route, plan: RoutePlan) -> set[int]:
    write, named = route.method in _WRITES, route.permission not in (PUBLIC, SIGNED_IN)
    return (
        {429, 503, *(s for s in route.also if s >= _BAD)}
        | ({401} if route.permission != PUBLIC else set())
        | ({403} if named else set())
        | ({404} if named or "{" in route.path else set())
        # also a line that is too long to read
        | ({400} if write or plan.query or "{" in route.path else set())
        | ({409} if write else set())
        | ({413, 415} if plan.body or route.media != (_JSON,) else set())
        | ({422} if plan.body or plan.query else set())
    )
