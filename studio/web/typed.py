"""Typed routes: each request runs what was compiled from its handler's signature.

In order: who calls → body and query → the idempotency key → `load` → permission → handler → JSON.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, get_args, get_origin

import orjson
from aiohttp import web
from multidict import CIMultiDict
from pydantic import BaseModel, TypeAdapter, ValidationError

from studio.auth import PUBLIC, SIGNED_IN, Actor, Credentials
from studio.errors import (
    BadRequestError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PayloadTooLargeError,
    StudioError,
    UnsupportedMediaTypeError,
)
from studio.web.deps import CURRENT_WRITE, JSON_MEDIA, KEY_HEADER, REQUEST_ID, WRITES, Handler, WebDeps
from studio.web.plan import plan_of
from studio.web.route import Page, Request, Route, project_of
from studio.web.wire import converter, each

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio.plugins.context import PluginContext
    from studio.web.deps import Middleware

BODY_DEADLINE_S = 10.0
_DEFAULT_LIMIT = Route.__dataclass_fields__["body_limit"].default
_JSON_HEADERS = CIMultiDict({"Content-Type": "application/json", "Cache-Control": "no-store"})
_SHOWN_ERRORS = 50


def bind(route: Route, ctx: PluginContext, deps: WebDeps, middlewares: Iterable[Middleware] = ()) -> Handler:
    """Return a route's aiohttp handler, inside its plugin's middlewares; raises PluginError (`plan_of`)."""
    handler: Handler = _Endpoint(route, ctx, deps).handle
    for middleware in reversed(tuple(middlewares)):
        handler = _inside(middleware, handler)
    return handler


def _inside(middleware: Middleware, inner: Handler) -> Handler:
    async def wrapped(request: web.Request) -> web.StreamResponse:
        return await middleware(request, inner)

    return wrapped


class _Endpoint:
    def __init__(self, route: Route, ctx: PluginContext, deps: WebDeps) -> None:
        self.route, self.ctx, self.deps, self.plan = route, ctx, deps, plan_of(ctx.name, route)
        self.convert = converter(self.plan.returns) or _declared
        self.convert_all = each(self.convert)
        self.public, self.asks = route.permission == PUBLIC, route.permission not in (PUBLIC, SIGNED_IN)
        known = deps.permissions.get(route.permission)
        self.of_project = known is None or known.scope == "project"
        self.writes = route.method in WRITES
        self.once = route.idempotent and self.writes
        usual = deps.settings.web.body_limit
        self.limit = usual if route.body_limit == _DEFAULT_LIMIT else route.body_limit
        self.clones = self.limit != usual
        self.checks_body = self.plan.body is not None or route.media != JSON_MEDIA
        self.lists = {
            field.alias or name
            for name, field in (self.plan.query.model_fields if self.plan.query else {}).items()
            if any(get_origin(kind) is list for kind in (field.annotation, *get_args(field.annotation)))
        }
        self.ours = [name for name in ("body", "query", "target") if name in self.plan.arguments]
        self.in_path = [name for name in self.plan.arguments if name not in self.ours]

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        if self.clones:
            raw = raw.clone(client_max_size=self.limit)
        headers = raw.headers
        nobody = self.public and "Authorization" not in headers and "Cookie" not in headers
        request = Request(raw, self.ctx, raw[REQUEST_ID], None if nobody else await self._actor(raw))
        if self.writes:
            CURRENT_WRITE.set(request.id)
        data = await self._read(raw) if self.checks_body else b""
        if self.plan.body:
            request.body = self._parse(self.plan.body, data)
        if self.plan.query:
            request.query = self._query(self.plan.query, raw)
        if self.once and KEY_HEADER in raw.headers:
            return await self.deps.run_once(request, self.route, data, lambda: self._run(request))
        return await self._run(request)

    async def _actor(self, raw: web.Request) -> Actor | None:
        """Ask who calls; on a public route only if somebody says so, and a bad token is nobody."""
        headers, cookies = raw.headers, raw.cookies if "Cookie" in raw.headers else {}
        shown = headers.getall("Authorization", ())  # of two, a proxy before us may have read the other one
        token = ", ".join(shown) if shown else None
        if self.public and not token and not cookies:
            return None
        if cookies and not token and not self.public and raw.method in WRITES and _CSRF_HEADER not in headers:
            raise ForbiddenError(f"Signing in by cookie, send {_CSRF_HEADER} with writes.", code=_CSRF_CODE)
        try:
            actor = await self.deps.auth.authenticate(Credentials(token, cookies, raw.remote or ""))
        except StudioError:
            if self.public:
                return None
            raise
        if actor.scopes and not self.public and self.route.permission not in actor.scopes:
            raise ForbiddenError(
                f"This API key lacks the scope {self.route.permission}.", code="scope_missing"
            )
        return actor

    async def _read(self, raw: web.Request) -> bytes:
        """Return the decoded body; without a `body` parameter only check it: the handler reads it."""
        if not raw.can_read_body:
            return b""
        media = self.route.media
        if raw.headers.get("Content-Type") not in media and raw.content_type not in media:
            accepted = list(media)
            raise UnsupportedMediaTypeError(f"Send one of: {', '.join(accepted)}.", accepts=accepted)
        if (raw.content_length or 0) > self.limit:
            raise self._too_large()
        if not self.plan.body:
            return b""
        if raw.content.is_eof():  # all of it is here: nothing to wait for
            data = raw.content.read_nowait()
            if len(data) > self.limit:
                raise self._too_large()
            return data
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                return await raw.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="The body did not arrive in time; send it again.") from None

    def _too_large(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(f"The body may have {self.limit} bytes.", limit=self.limit)

    def _parse(self, adapter: TypeAdapter[Any], data: bytes) -> Any:
        if not data:
            if self.plan.body_optional:
                return None
            raise InvalidInputError(
                "This needs a body.", errors=[{"pointer": "", "message": "Field required"}]
            )
        try:
            return adapter.validator.validate_json(data, by_alias=True, by_name=False)
        except ValidationError as error:
            raise _invalid(error, "body") from None

    def _query(self, model: type[BaseModel], raw: web.Request) -> Any:
        given = raw.query
        values = {key: given.getall(key) if key in self.lists else given[key] for key in given}
        if repeated := [key for key in values if key not in self.lists and len(given.getall(key)) > 1]:
            errors = [{"pointer": _pointer((key,)), "message": "Give it once"} for key in repeated]
            raise InvalidInputError("The query string is wrong.", errors=errors[:_SHOWN_ERRORS])
        try:
            return model.__pydantic_validator__.validate_python(values, by_alias=True, by_name=False)
        except ValidationError as error:
            raise _invalid(error, "query string") from None

    async def _run(self, request: Request) -> web.StreamResponse:
        if self.route.load:
            request.target = await self.route.load(request)
            if request.target is None:
                raise NotFoundError
        if self.asks:
            project = _project(request) if self.of_project else None
            await self.deps.auth.require(request.actor, self.route.permission, project)
        arguments: dict[str, Any] = {}
        for name in self.in_path:
            arguments[name] = request.raw.match_info[name]
        for name in self.ours:
            arguments[name] = getattr(request, name)
        return self._encode(await self.route.handler(request, **arguments))

    def _encode(self, result: Any) -> web.StreamResponse:
        status = self.route.status
        if isinstance(result, dict):
            data: Any = self.convert(result)
        elif isinstance(result, Page):
            data = {"items": self.convert_all(result.items), "nextCursor": result.next_cursor}
        elif result is None:
            return web.Response(status=204 if status == web.HTTPOk.status_code else status)
        elif isinstance(result, web.StreamResponse):
            return result
        else:
            data = self.convert_all(result) if isinstance(result, list) else self.convert(result)
        return web.Response(body=orjson.dumps(data), status=status, headers=_JSON_HEADERS)


_CSRF_HEADER, _CSRF_CODE = "X-Requested-With", "csrf_header_missing"
"""A page of another site can send a write with our cookie, but not with a header of its own choice."""


def _project(request: Request) -> str:
    """Return the project; a `load`ed thing of another project than the path's does not exist there."""
    named, target = request.raw.match_info.get("project_id"), request.target
    if named is None:
        return project_of(target)
    other = target.get("project_id") if isinstance(target, dict) else getattr(target, "project_id", None)
    if other not in (None, named):
        raise NotFoundError
    return named


def _declared(result: Any) -> Any:
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json", by_alias=True)
    raise TypeError("a handler returned a document, but its route names no public model in `returns`")


def _invalid(error: ValidationError, part: str) -> StudioError:
    found = error.errors(include_url=False, include_input=False)[:_SHOWN_ERRORS]
    if found[0]["type"] == "json_invalid":
        return BadRequestError(found[0]["msg"], code="malformed_json")
    errors = [{"pointer": _pointer(e["loc"]), "message": _message(e)} for e in found]
    return InvalidInputError(f"The {part} is wrong.", errors=errors)


def _message(error: Any) -> str:
    if error["type"] == "union_tag_invalid":  # pydantic's own text quotes the input
        return f"The tag must be one of {error['ctx']['expected_tags']}"
    return str(error["msg"])


def _pointer(location: tuple[int | str, ...]) -> str:
    """Return a JSON pointer (RFC 6901); keys may be the client's invention, so long ones are cut."""
    return "".join("/" + str(part)[:100].replace("~", "~0").replace("/", "~1") for part in location)
