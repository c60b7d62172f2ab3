"""Handlers of the workbench."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from studio import Doc, Page, Request
from studio_stories.api import Stories
from studio_workbench.models import ExportQuery, RenderRequest, TimelineCreate, TimelineQuery
from studio_workbench.service import WorkbenchService


async def load_story(request: Request) -> Doc:
    """Return the story that the body names."""
    stories = request.service(Stories)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
    return await stories.story(request.body.story_id)


async def load_timeline(request: Request) -> Doc:
    """Return the timeline of the path."""
    return await request.service(WorkbenchService).timeline(request.path["timeline_id"])


async def get_dashboard(request: Request, project_id: str) -> Doc:
    """Return a project at a glance."""
    return await request.service(WorkbenchService).dashboard(project_id)


async def create_timeline(request: Request, body: TimelineCreate) -> Doc:
    """Cut a story to a timeline."""
    return await request.service(WorkbenchService).create_timeline(request.actor, body, request.once)


async def list_timelines(request: Request, query: TimelineQuery) -> Page:
    """List timelines, newest first."""
    return await request.service(WorkbenchService).list_timelines(query)


async def get_timeline(request: Request, target: Any) -> Doc:  # noqa: ARG001 - every handler takes the request
    """Return a timeline."""
    timeline: Doc = target
    return timeline


async def delete_timeline(request: Request, target: Any) -> None:
    """Delete a timeline; its films stay as takes."""
    await request.service(WorkbenchService).delete_timeline(request.actor, target)


async def render_timeline(request: Request, target: Any, body: RenderRequest | None = None) -> Doc:
    """Order the film of a timeline as the story stands now."""
    return await request.service(WorkbenchService).render(request.actor, target, body or RenderRequest())


async def get_timeline_stale(request: Request, target: Any) -> Doc:
    """Say whether the last render still shows the story."""
    return await request.service(WorkbenchService).stale(target)


async def export_timeline(request: Request, target: Any, query: ExportQuery) -> web.StreamResponse:
    """Return one file of the last render."""
    service = request.service(WorkbenchService)
    asset, path, name = await service.export(target, query.format, allow_stale=query.allow_stale)
    headers = {
        "Content-Type": asset["blob"]["mime"],
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return web.FileResponse(path, headers=headers)
