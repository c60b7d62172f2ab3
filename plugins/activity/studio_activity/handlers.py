"""Handlers of the activity feed."""

from __future__ import annotations

from studio import Doc, Page, PageQuery, Request
from studio_activity.service import FeedService


async def list_activities(request: Request, project_id: str, query: PageQuery) -> Page:
    """List what happened in a project, newest first."""
    return await request.service(FeedService).list_activities(project_id, query)


async def list_activity_actions(request: Request) -> Doc:
    """List every kind of activity with its label."""
    return {"items": request.service(FeedService).list_actions()}
