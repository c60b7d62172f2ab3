"""Wires the activity feed into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Doc, Event, Manifest, PluginContext, Route, StudioHooks, hookimpl
from studio_activity.routes import ROUTES
from studio_activity.service import FeedService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plugin(StudioHooks):
    """The activity panel and its live event."""

    manifest = Manifest(name="activity", requires=("projects",))

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the feed and the labels."""
        return ROUTES

    @hookimpl
    def register_events(self, ctx: PluginContext) -> list[Event]:
        """Return the event that tells a project's room of each activity."""
        return [Event("activity.created", "Something happened in the project")]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the feed."""
        ctx.provide(FeedService, FeedService(ctx))
        yield

    @hookimpl
    async def activity_recorded(self, ctx: PluginContext, activity: Doc) -> None:
        """Tell whoever looks at the project."""
        worded = ctx.service(FeedService).worded(activity)
        data = {name: worded[name] for name in ("action", "text", "actor", "at")}
        data |= {"id": worded["_id"], "projectId": worded["project_id"]}
        ctx.realtime.publish_room(f"project:{worded['project_id']}", "activity.created", data)
