"""Opens one stream and writes to it until either side ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import Field

from studio import Model, Request
from studio_sse.hub import EventHub, Stream

if TYPE_CHECKING:
    from studio_sse.hub import Key

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventsQuery(Model):
    """`project` may be repeated; each joins the room of one project."""

    project: list[str] = Field(default=[], max_length=20)


async def open_events(request: Request, query: EventsQuery) -> web.StreamResponse:
    """Stream until the client leaves, lags, is disconnected, or the server stops."""
    hub, user_id = request.service(EventHub), request.actor.user_id
    for project_id in query.project:
        await request.ctx.auth.require(request.actor, "project:read", project_id)
    keys: list[Key] = [("user", user_id), *(("room", f"project:{p}") for p in query.project)]
    with hub.place_of(user_id):
        return await _stream(request, hub, list(dict.fromkeys(keys)))


async def _stream(request: Request, hub: EventHub, keys: list[Key]) -> web.StreamResponse:
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request.raw)
    stream = Stream(keys, request.actor.session_id, request.raw.transport)
    hub.open(stream, request.raw.headers.get("Last-Event-ID", ""))
    try:
        async for chunk in stream.chunks():
            await response.write(chunk)
    except ConnectionResetError:
        stream.end()  # the client left, or was cut: there is nobody to tell
    finally:
        hub.forget(stream)
    return response
