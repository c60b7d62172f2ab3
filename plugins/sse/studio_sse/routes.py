"""The one route: a stream has no deadline and no replay of its answer."""

from __future__ import annotations

from studio import SIGNED_IN, Route
from studio_sse.handlers import open_events

ROUTES = [
    Route(
        "GET",
        "/api/events",
        open_events,
        SIGNED_IN,
        deadline_s=0,
        idempotent=False,
        produces="text/event-stream",
        also=(404,),
        summary="Receive the caller's events, and those of `project` rooms, as they happen.",
    )
]
