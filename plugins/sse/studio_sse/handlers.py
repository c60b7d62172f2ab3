"""Opens one stream and writes to it until either side ends it."""

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import Field

from studio import (
    Credentials,
    ForbiddenError,
    Model,
    NotFoundError,
    Request,
    StudioError,
    UnauthenticatedError,
)
from studio_sse.hub import EventHub, Stream

if TYPE_CHECKING:
    from studio_sse.hub import Key

AGAIN_S = 1.0
"""When a new stream is asked for its rights once more: no answer from before a revocation is believed so long."""
HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventsQuery(Model):
    """`project` may be repeated; each joins the room of one project."""

    project: list[str] = Field(default=[], max_length=20)


async def open_events(request: Request, query: EventsQuery) -> web.StreamResponse:
    """Stream until the client leaves, lags, is disconnected, or the server stops."""
    hub, user_id = request.service(EventHub), request.actor.user_id
    await _require(request, query)
    keys: list[Key] = [("user", user_id), *(("room", f"project:{p}") for p in query.project)]
    with hub.place_of(user_id):
        stream = Stream(list(dict.fromkeys(keys)), request.actor.session_id, request.raw.transport)
        again = request.ctx.spawn(_look_again(request, query, stream), "look-again")
        try:
            return await _run(request, hub, stream)
        finally:
            again.cancel()


async def _require(request: Request, query: EventsQuery) -> None:
    for project_id in query.project:
        await request.ctx.auth.require(request.actor, "project:read", project_id)


async def _look_again(request: Request, query: EventsQuery, stream: Stream) -> None:
    """End a stream that was opened by an answer from before a revocation, whose order did not find it yet."""
    await asyncio.sleep(AGAIN_S)
    raw = request.raw
    shown = Credentials(raw.headers.get("Authorization"), raw.cookies, raw.remote or "")
    try:
        await request.ctx.auth.authenticate(shown)
        await _require(request, query)
    except (UnauthenticatedError, ForbiddenError, NotFoundError):
        stream.end()
    except StudioError as error:  # nobody can tell now: an order to disconnect still finds it
        request.ctx.log.info("stream_not_looked_at_again", error=repr(error))


async def _run(request: Request, hub: EventHub, stream: Stream) -> web.StreamResponse:
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request.raw)
    hub.open(stream, request.raw.headers.get("Last-Event-ID", ""))
    try:
        async for chunk in stream.chunks():
            await response.write(chunk)
    except ConnectionResetError:
        stream.end()  # the client left, or was cut: there is nobody to tell
    finally:
        hub.forget(stream)
    return response
