"""What the web room needs from the rest of the kernel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from studio.errors import UnavailableError

if TYPE_CHECKING:
    from studio.auth import Auth, Permission
    from studio.settings import Settings
    from studio.web.route import Request, Route

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
"""Wraps the routes of the plugin that registered it."""
REQUEST_ID = web.RequestKey("request_id", str)
CURRENT_WRITE: ContextVar[str] = ContextVar("current_write", default="")
RunOnce = Callable[
    ["Request", "Route", bytes, Callable[[], Awaitable[web.StreamResponse]]], Awaitable[web.StreamResponse]
]
"""Runs a write that carries an Idempotency-Key, from its request, its route, its body and what runs it."""
KEY_HEADER = "Idempotency-Key"
JSON_MEDIA = ("application/json",)
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def current_request_id() -> str:
    """Return the id of the write that this code runs for, in the request itself or in what it has spawned; "" else."""
    return CURRENT_WRITE.get()


async def nobody_keeps(*_: object) -> web.StreamResponse:
    """Refuse a key that nobody would remember: a client that sends one counts on it."""
    detail = "Nobody keeps idempotency keys here. Switch on the plugin `idempotency`, or send none."
    raise UnavailableError(detail, code="idempotency_unavailable")


@dataclass(frozen=True, slots=True)
class WebDeps:
    """`observe(path template, method, status, seconds)` hears of each request."""

    auth: Auth
    settings: Settings
    permissions: Mapping[str, Permission] = field(default_factory=dict)
    observe: Callable[[str, str, int, float], object] = lambda *_: None
    run_once: RunOnce = nobody_keeps
