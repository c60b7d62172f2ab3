"""What a plugin declares of a route, and what its handler receives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from studio.errors import NotFoundError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web
    from pydantic import BaseModel

    from studio.auth import Actor
    from studio.model import Doc
    from studio.plugins.context import PluginContext

T = TypeVar("T")


@dataclass(slots=True)
class Request:
    """One call, as a handler sees it. `raw` is aiohttp's own request, for uploads and streams."""

    raw: web.Request
    ctx: PluginContext
    id: str
    """The request id, in the answer as `X-Request-Id`."""
    _actor: Actor | None = None
    body: Any = None
    query: Any = None
    target: Any = None
    """What the route's `load` returned."""
    once: str | None = None
    """With an Idempotency-Key: an id that all runs of that key share. As `_id` of what you create it keeps a
    run that is repeated after a crash from creating twice (on ConflictError answer with what is there)."""

    @property
    def actor(self) -> Actor:
        """Who calls; raises UnauthenticatedError on a public route without credentials."""
        if self._actor is None:
            raise UnauthenticatedError
        return self._actor

    @property
    def path(self) -> Mapping[str, str]:
        """The path parameters."""
        return self.raw.match_info

    def service(self, kind: type[T]) -> T:
        """Return what the owning plugin (or one it requires) provided for `kind`."""
        return self.ctx.service(kind)


@dataclass(frozen=True, slots=True)
class Route:
    """One route: method, path, handler, permission, and what goes in and out.

    The handler is `async def name(request, ...)`; further parameters are filled by name: `body` (its
    annotation is the model of the JSON body), `query` (the model of the query string), `target` (what
    `load` returned) and each `{path_parameter}` as str. It returns a stored document (dict), a list of
    them, a `Page`, a model, None (204) or a `web.StreamResponse`. `returns` is the public model: only its
    fields leave the house, without re-validation; it is needed wherever documents are returned.

    A permission of project scope needs the project: from `{project_id}` in the path, else from `load`, an
    async function of the request whose result has `project_id` (a document or a model); a result of another
    project than the path's is a 404. The kernel asks `authorize` before the handler runs, and answers 404
    for what is not the caller's to know.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    permission: str
    returns: type[BaseModel] | None = field(default=None, kw_only=True)
    many: bool = field(default=False, kw_only=True)
    """The answer is a list of `returns`; as `Page` it is `{items, nextCursor}`."""
    status: int = field(default=200, kw_only=True)
    load: Callable[[Request], Awaitable[Any]] | None = field(default=None, kw_only=True)
    body_limit: int = field(default=1_048_576, kw_only=True)
    """Largest body in bytes, decoded."""
    deadline_s: float | None = field(default=None, kw_only=True)
    """Total time; None takes the configured default, 0 means none (streams)."""
    media: tuple[str, ...] = field(default=("application/json",), kw_only=True)
    """Kinds of body the route reads."""
    produces: str = field(default="application/json", kw_only=True)
    idempotent: bool = field(default=True, kw_only=True)
    """Writes honour Idempotency-Key; False only where the answer may not be stored (secrets, streams)."""
    rate: str = field(default="", kw_only=True)
    """What the plugin `limits` counts beside all calls of the caller: a class ("auth", "refresh", "mail"),
    "calls/seconds", "all" for nothing more, "none" for not counting at all; empty: creates, for a POST."""
    also: tuple[int, ...] = field(default=(), kw_only=True)
    """Further statuses that the handler itself answers with, for the OpenAPI document; from 400 on problems."""
    summary: str = field(default="", kw_only=True)
    """One line for the OpenAPI document; the handler's first docstring line when empty."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `next_cursor` None at the end."""

    items: list[Doc]
    next_cursor: str | None = None


def project_of(value: Any) -> str:
    """Return the `project_id` of a document or model; raises NotFoundError when it has none."""
    found = value.get("project_id") if isinstance(value, dict) else getattr(value, "project_id", None)
    if not found:
        raise NotFoundError
    return str(found)


async def project_in_body(request: Request) -> Any:
    """Use as `load` when the body names the project."""
    return request.body


async def project_in_query(request: Request) -> Any:
    """Use as `load` when the query names the project."""
    return request.query
