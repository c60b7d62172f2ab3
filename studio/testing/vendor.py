"""A vendor that is none: an aiohttp server on loopback that counts what it is asked and can break in every way.

A vendor's fake subclasses it, declares its routes and keeps its jobs; the faults are the same for all.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from studio.model import now_ms
from studio.providers.services import WebhookCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

FaultMode = Literal[
    "429",
    "500",
    "413",
    "422",
    "cut",
    "late",
    "lost",
    "malformed",
    "wrong_type",
    "huge",
    "endless",
    "redirect",
]
"""What can go wrong with an answer: a status, cut off, too late, lost after the work was done, no JSON, another
shape, 64 MB in 62 KB of gzip, without an end, a redirect to loopback."""
ENDLESS_S = 30.0


@dataclass(frozen=True, slots=True)
class VendorCall:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


@dataclass
class _Plan:
    mode: FaultMode
    path: re.Pattern[str]
    times: int = field(default=1)


class FakeVendor:
    """Override `routes`; use `async with fake.serving():`, then `fake.url`. `calls` holds every request."""

    retry_after_s = 1
    """What a 429 says."""

    def __init__(self) -> None:
        self.calls: list[VendorCall] = []
        self.url = ""
        self._plans: list[_Plan] = []

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the vendor's routes."""
        raise NotImplementedError

    def fail(self, mode: FaultMode, path: str = "", times: int = 1) -> None:
        """Break the next `times` answers to paths that match the expression `path`."""
        if mode == "huge":
            _bomb()  # made here, not while somebody waits for the answer
        self._plans.append(_Plan(mode, re.compile(path), times))

    def asked(self, method: str, path: str = "") -> list[VendorCall]:
        """Return the requests of a method to paths that match the expression `path`."""
        return [call for call in self.calls if call.method == method and re.search(path, call.path)]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeVendor]:
        """Listen on a free port of 127.0.0.1."""
        app = web.Application(middlewares=[self._record], client_max_size=100_000_000)
        app.add_routes(self.routes())
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    @web.middleware
    async def _record(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.calls.append(
            VendorCall(request.method, request.rel_url.raw_path, request.query_string, headers, body)
        )
        plan = next((p for p in self._plans if p.times > 0 and p.path.search(request.path)), None)
        if plan is None:
            return await handler(request)
        plan.times -= 1
        return await self._break(plan.mode, request, handler)

    async def _break(
        self,
        mode: FaultMode,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if mode.isdigit():
            headers = {"Retry-After": str(self.retry_after_s)} if mode == "429" else {}
            return web.json_response(self.error_body(int(mode)), status=int(mode), headers=headers)
        if mode == "late":
            await asyncio.sleep(ENDLESS_S)
        if mode == "lost":  # the work is done, the answer never comes
            await handler(request)
        if mode in ("cut", "late", "lost"):
            if request.transport:
                request.transport.close()
            return web.Response()
        if mode == "endless":
            return await _endless(request)
        answers: dict[str, Callable[[], web.Response]] = {
            "malformed": lambda: web.Response(text='{"id": ', content_type="application/json"),
            "wrong_type": lambda: web.json_response(["nothing", 7]),
            "huge": _huge,
            "redirect": lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
        }
        return answers[mode]()

    def error_body(self, status: int) -> Any:
        """Return what this vendor says with an error status; override with its own shape."""
        return {"error": {"message": f"status {status}"}}


def received(
    vendor: str,
    headers: Mapping[str, str],
    body: bytes,
    path: str | None = None,
    query: str = "",
    method: str = "POST",
) -> WebhookCall:
    """Return a vendor's call as the receiver hands it over, come in just now."""
    return WebhookCall(
        method=method, path=f"/api/webhooks/{vendor}" if path is None else path, query=query, body=body,
        headers={name.lower(): value for name, value in headers.items()}, received_at=now_ms(),
    )  # fmt: skip


class Canned(FakeVendor):
    """Gives the same answer to everything: `text`, or `body` as JSON (a str as it is); neither is an empty body."""

    def __init__(
        self,
        status: int,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> None:
        super().__init__()
        told = (
            "" if body is None else body if isinstance(body, str) else json.dumps(body)
        )  # of any size of number
        self._made = status, (told if text is None else text).encode(), headers or {}

    def routes(self) -> Iterable[web.RouteDef]:
        """Return one route for everything."""
        return [web.route("*", "/{any:.*}", self._answer)]

    async def _answer(self, _: web.Request) -> web.Response:
        status, body, headers = self._made
        return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **headers})


async def _endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    for _ in range(int(ENDLESS_S / 0.2)):
        await answer.write(b"  ")
        await asyncio.sleep(0.2)
    return answer


@cache
def _bomb() -> bytes:
    """Return 64 MB of blanks as gzip, packed in pieces: it must not cost the memory that is looked at."""
    packer, piece = zlib.compressobj(9, wbits=31), b" " * 1_000_000
    return b"".join([*(packer.compress(piece) for _ in range(64)), packer.flush()])


def _huge() -> web.Response:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return web.Response(body=_bomb(), headers=headers)
