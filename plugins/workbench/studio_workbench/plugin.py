"""Wires the workbench into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from studio import (
    ActivityAction,
    Collection,
    Doc,
    Generation,
    Index,
    JobKind,
    Manifest,
    Permission,
    PluginContext,
    Route,
    StudioHooks,
    hookimpl,
)
from studio_asset_gen.api import Assets
from studio_workbench.jobs import JOB, TIMELINES, FilmKind
from studio_workbench.routes import ROUTES
from studio_workbench.service import WorkbenchService
from studio_workbench.settings import WorkbenchSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio_workbench.api import FilmRequest

TIMELINE_DEFAULTS = {
    "project_id": ...,
    "story_id": ...,
    "shots": ...,
    "width": ...,
    "height": ...,
    "fps": ...,
    "duration_ms": ...,
    "name": "",
    "scenes": None,
    "outputs": {},
    "render_asset_id": None,
    "render_basis": None,
    "render_content": None,
    "render_job_id": None,
    "rendered_at": None,
    "music_asset_id": None,
    "missing_panels": [],
    "missing_voices": [],
    "basis_hash": "",
}


class Plugin(StudioHooks):
    """The dashboard of a project, its timelines, and their films."""

    manifest = Manifest(
        name="workbench", requires=("stories", "asset_gen", "projects"), settings=WorkbenchSettings
    )

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/workbench."""
        return ROUTES

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return the timelines, which live beside the stories."""
        indexes = (Index((("story_id", 1),)), Index((("project_id", 1), ("_id", -1))))
        return [Collection(TIMELINES, database="stories", indexes=indexes, defaults=TIMELINE_DEFAULTS)]

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        """Return the rights over timelines; rendering needs asset:generate."""
        return [
            Permission("timeline:read", "See timelines and export films"),
            Permission("timeline:write", "Make and delete timelines"),
        ]

    @hookimpl
    def register_jobs(self, ctx: PluginContext) -> list[JobKind]:
        """Return the render; the service behind it is there once the plugin has started."""

        async def request(job: Doc) -> FilmRequest:
            return await ctx.service(FilmKind).request(job)

        async def accept(job: Doc, generation: Generation, late: bool) -> dict[str, Any]:  # noqa: FBT001 - the shape of JobKind.accept
            return await ctx.service(FilmKind).accept(job, generation, late)

        return [JobKind(JOB, "Render a film", "film", request, accept, deadline_s=3600.0)]

    @hookimpl
    def register_activities(self, ctx: PluginContext) -> list[ActivityAction]:
        """Return what is logged of timelines."""
        return [
            ActivityAction("timeline.created", "made the timeline {name}", "timeline"),
            ActivityAction("timeline.deleted", "deleted the timeline {name}", "timeline"),
            ActivityAction("timeline.render_started", "started rendering {name}", "timeline"),
        ]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the service, and have films join the kinds of asset."""
        settings = ctx.settings(WorkbenchSettings)
        film = FilmKind(ctx, settings.work_dir, settings.keep_renders_h)
        ctx.service(Assets).join(film)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        ctx.provide(FilmKind, film)
        ctx.provide(WorkbenchService, WorkbenchService(ctx, film))
        yield
