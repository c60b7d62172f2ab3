"""OpenAPI 3.1 from the same declarations that serve the requests."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

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
    "description": "RFC 9457. `code` is stable: decide by it, never by the words. Some codes bring more fields.",
    "required": ["type", "title", "status", "code", "detail", "requestId"],
    "properties": dict.fromkeys(("type", "title", "code", "detail", "requestId"), _TEXT)
    | {
        "status": {"type": "integer"},
        "retryWith": {"type": "array", "items": {"type": "object"}},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "message"],
                "properties": {"pointer": _TEXT, "message": _TEXT},
            },
        },
    },
}
_ABOUT = """\
Refusals are `application/problem+json` with a stable `code`; tell us their `requestId` (`X-Request-Id` of any answer).
Lists are pages: send `nextCursor` as `cursor` until it is null. Times are UTC milliseconds, money micro-USD.
What has a `rev` is changed with that `rev`, or `If-Match: "<rev>"`; another one is a 409 `stale_revision`.
A write that is sent again with its `Idempotency-Key` is answered as before, with `Idempotent-Replay`.\
"""
_LICENSE = {"name": "Apache 2.0", "identifier": "Apache-2.0"}
_LIMITS = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "RateLimit": {"description": "What is left, and the seconds to the next call.", "schema": _TEXT},
    "RateLimit-Policy": {"description": "Calls in a window of seconds.", "schema": _TEXT},
}
_NOTHING = ("None", None)
_OK, _NO_CONTENT, _PARTIAL, _MOVED, _UNCHANGED, _BAD = 200, 204, 206, 300, 304, 400
_NO_RANGE, _TOO_MANY, _UNAVAILABLE = 416, 429, 503
_BARE = {_UNCHANGED, _NO_RANGE}
"""Answers without a body: aiohttp gives them of a file, after its headers."""
_KEY_PARAMETER = {"name": "Idempotency-Key", "in": "header", "schema": {**_TEXT, "maxLength": 255}}


class _Untitled(GenerateJsonSchema):
    """Without pydantic's titles of fields ("Accesstoken"): they say nothing, and generators name types by them."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the library's signature
        return False


def build_openapi(routes: Sequence[tuple[str, Route]], title: str, version: str, server: str = "/") -> Doc:
    """Return the document of (plugin, route) pairs, in a stable order; raises PluginError (see `plan_of`).

    `server` is the origin of the addresses; "/" is where the document was read.
    """
    found = sorted(((plugin, route, plan_of(plugin, route)) for plugin, route in routes), key=_order)
    schemas, definitions = _schemas(found)
    paths: dict[str, Doc] = {}
    for (plugin, route, plan), name in zip(found, _names(found), strict=True):
        operation = _operation(plugin, route, plan, schemas, definitions)
        paths.setdefault(route.path, {})[route.method.lower()] = {"operationId": name, **operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": server}],
        "tags": [{"name": plugin} for plugin in sorted({plugin for plugin, _, _ in found})],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **_used(paths, definitions)},
            "headers": _LIMITS,
            "securitySchemes": {"bearer": {**_BEARER, "bearerFormat": "JWT"}, "apiKey": _BEARER},
        },
    }


def _names(found: Sequence[Found]) -> list[str]:
    """Return unique operation ids: the handler's name, on a clash with the plugin, then with words of the address."""
    names = [route.handler.__name__ for _, route, _ in found]
    longer = [f"{plugin}_{name}" for (plugin, _, _), name in zip(found, names, strict=True)]
    for words in ([], [_thing(route) for _, route, _ in found], [_place(route) for _, route, _ in found]):
        with_words = [f"{n}_{w}" for n, w in zip(longer, words, strict=True)] if words else longer
        clash = Counter(names)
        names = [more if clash[n] > 1 else n for n, more in zip(names, with_words, strict=True)]
    return names


def _thing(route: Route) -> str:
    named = [part for part in route.path.split("/") if part and "{" not in part]
    return re.sub(r"\W", "_", named[-1]) if named else "root"


def _place(route: Route) -> str:
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)])


def _used(paths: Any, definitions: Mapping[str, Doc]) -> dict[str, Doc]:
    """Return what the paths refer to, by name: a query's model is spread over parameters and not needed itself."""
    used: dict[str, Doc] = {}
    waiting: list[Any] = [paths]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            name = str(part.get("$ref")).rpartition("/")[2]
            if name in definitions and name not in used:
                used[name] = definitions[name]
                waiting.append(definitions[name])
    return dict(sorted(used.items()))


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
    schemas, shared = TypeAdapter.json_schemas(
        wanted, ref_template="#/components/schemas/{model}", schema_generator=_Untitled
    )
    return {key: schema for (key, _), schema in schemas.items()}, shared.get("$defs", {})


def _operation(
    plugin: str, route: Route, plan: RoutePlan, schemas: Mapping[Any, Doc], definitions: Mapping[str, Doc]
) -> Doc:
    place = (route.path, route.method)
    first, _, rest = (inspect.getdoc(route.handler) or "").partition("\n")
    operation: Doc = {
        "tags": [plugin],
        "summary": route.summary or first or route.handler.__name__.replace("_", " "),
        "parameters": _parameters(route, schemas, definitions),
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


def _parameters(route: Route, schemas: Mapping[Any, Doc], definitions: Mapping[str, Doc]) -> list[Doc]:
    place = (route.path, route.method)
    found: list[Doc] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        for name in re.findall(r"\{(\w*)\}", route.path)
    ]
    model = _followed(schemas.get((*place, "query"), {}), definitions)
    found += [
        {"name": name, "in": "query", "required": name in model.get("required", ()), "schema": schema}
        for name, schema in model.get("properties", {}).items()
    ]
    body = _followed(schemas.get((*place, "body"), {}), definitions)
    found += [{"name": name, "in": "header", "schema": _TEXT} for name in _headers(route, body)]
    return [*found, _KEY_PARAMETER] if route.idempotent and route.method in _WRITES else found


def _followed(schema: Doc, definitions: Mapping[str, Doc]) -> Doc:
    return definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _headers(route: Route, body: Doc) -> list[str]:
    """Return the headers that such a route reads: what has a revision, is a file, or is a stream."""
    told = {
        "If-Match": route.method in ("PATCH", "PUT") and "rev" in body.get("properties", {}),
        "If-None-Match": _UNCHANGED in route.also,
        "Last-Event-ID": route.produces == "text/event-stream",
        "Range": _PARTIAL in route.also,
    }
    return [name for name, read in told.items() if read]


def _responses(route: Route, plan: RoutePlan, schemas: Mapping[Any, Doc]) -> dict[int, Doc]:
    schema = schemas.get((route.path, route.method, "returns"))
    if schema and (plan.paged or route.many):
        schema = {"type": "array", "items": schema}
    if schema and plan.paged:
        page = {"items": schema, "nextCursor": {"type": ["string", "null"]}}
        schema = {"type": "object", "required": list(page), "properties": page}
    done: Doc = {}
    gives = route.handler.__annotations__.get("return")
    silent = route.status == _NO_CONTENT or _MOVED <= route.status < _BAD
    silent |= route.produces == _JSON and gives in _NOTHING
    if schema or not silent:
        done["content"] = {route.produces: {"schema": schema} if schema else {}}
    status = _NO_CONTENT if silent and not schema and route.status == _OK else route.status
    good = dict.fromkeys([status, *(s for s in route.also if s < _BAD)], done)
    answers = {s: _refused(s) for s in _refusals(route, plan)} | good
    return {s: {"description": HTTPStatus(s).phrase} | ({} if s in _BARE else a) for s, a in answers.items()}


def _refused(status: int) -> Doc:
    problem = {"$ref": "#/components/schemas/Problem"}
    told = {_TOO_MANY: list(_LIMITS), _UNAVAILABLE: ["Retry-After"]}.get(status, [])
    headers = {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in told}} if told else {}
    return {**headers, "content": {"application/problem+json": {"schema": problem}}}


def _refusals(route: Route, plan: RoutePlan) -> set[int]:
    write, named = route.method in _WRITES, route.permission not in (PUBLIC, SIGNED_IN)
    return (
        {429, 503, *(s for s in route.also if s >= _BAD)}
        # 403 too: an API key may lack the scope
        | ({401, 403} if route.permission != PUBLIC else set())
        | ({404} if named or "{" in route.path else set())
        # also a line that is too long to read
        | ({400} if write or plan.query or "{" in route.path else set())
        | ({409} if write else set())
        | ({502} if write and route.idempotent else set())  # nobody knows what became of the first request
        | ({504} if route.deadline_s != 0 else set())
        | ({413, 415} if plan.body or route.media != (_JSON,) else set())
        | ({422} if plan.body or plan.query else set())
    )
