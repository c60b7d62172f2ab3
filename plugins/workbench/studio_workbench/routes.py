"""Routes of the workbench."""

from __future__ import annotations

from studio import Route, project_in_query
from studio_workbench import handlers as h
from studio_workbench import models as m

BASE = "/api/workbench"
TIMELINES, TIMELINE = f"{BASE}/timelines", f"{BASE}/timelines/{{timeline_id}}"
READ, WRITE = "timeline:read", "timeline:write"

ROUTES = [
    Route(
        "GET",
        f"{BASE}/projects/{{project_id}}/dashboard",
        h.get_dashboard,
        "project:read",
        returns=m.Dashboard,
    ),
    Route(
        "POST",
        TIMELINES,
        h.create_timeline,
        WRITE,
        returns=m.TimelinePublic,
        status=201,
        load=h.load_story,
    ),
    Route("GET", TIMELINES, h.list_timelines, READ, returns=m.TimelinePublic, load=project_in_query),
    Route("GET", TIMELINE, h.get_timeline, READ, returns=m.TimelinePublic, load=h.load_timeline),
    Route("DELETE", TIMELINE, h.delete_timeline, WRITE, load=h.load_timeline),
    Route(
        "POST",
        f"{TIMELINE}/render",
        h.render_timeline,
        "asset:generate",
        returns=m.RenderStarted,
        status=202,
        also=(402,),
        load=h.load_timeline,
    ),
    Route(
        "GET", f"{TIMELINE}/stale", h.get_timeline_stale, READ, returns=m.TimelineStale, load=h.load_timeline
    ),
    Route(
        "GET",
        f"{TIMELINE}/export",
        h.export_timeline,
        READ,
        load=h.load_timeline,
        produces="*/*",
        also=(206, 304, 409, 416),
        deadline_s=0,
    ),
]
