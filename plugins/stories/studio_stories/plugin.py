"""The plugin's door: wiring only."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

from studio import ActivityAction, Collection, Index, Manifest, Permission, StudioHooks, hookimpl
from studio_stories.api import Stories
from studio_stories.cast import CastService
from studio_stories.documents import EMPTY_SCENE
from studio_stories.editing import EditingService
from studio_stories.jobs import KIND, BreakdownService
from studio_stories.migrations import MIGRATIONS
from studio_stories.planning import EMPTY_SHOT
from studio_stories.routes import READ, WRITE, routes
from studio_stories.service import StoryService
from studio_stories.settings import StoriesSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from contextlib import AbstractAsyncContextManager

    from studio import Doc, JobKind, Migration, PluginContext, Route

_BY_NAME = Index((("story_id", 1), ("name", 1)), unique=True, case_insensitive=True)
_PART = {"story_id": ..., "project_id": ..., "rev": ...}
_NAMED = {**_PART, "name": ..., "aliases": [], "description": "", "ref_asset_ids": []}
COLLECTIONS = (
    Collection(
        "stories",
        "stories",
        (Index((("project_id", 1), ("_id", -1))),),
        defaults={
            "project_id": ...,
            "version": ...,
            "rev": ...,
            "created_at": 0,
            "updated_at": 0,
            "title": "",
            "author": "",
            "language": "en",
            "format": "text",
            "source": {},
            "word_count": 0,
            "scene_count": 0,
            "warnings": [],
            "logline": "",
            "status": "draft",
            "deleted_at": None,
            "version_reason": "created",
            "version_by": "",
            "version_at": 0,
            "settled": True,
        },
    ),
    Collection(
        "story_versions",
        "stories",
        (Index((("story_id", 1), ("version", 1)), unique=True),),
        defaults={
            "story_id": ...,
            "version": ...,
            "fields": ...,
            "snapshot": ...,
            "script_text": ...,
            "reason": "created",
            "author_id": "",
            "at": 0,
            "title": "",
            "scene_count": 0,
            "shot_count": 0,
        },
    ),
    Collection(
        "scenes",
        "stories",
        (Index((("story_id", 1), ("order", 1))),),
        defaults={
            **_PART,
            "order": ...,
            "heading": ...,
            "number": "",
            "duration_ms_est": 0,
            **EMPTY_SCENE,
        },
    ),
    Collection(
        "shots",
        "stories",
        (Index((("story_id", 1), ("order", 1))), Index((("scene_id", 1), ("order", 1)))),
        defaults={
            **_PART,
            "scene_id": ...,
            "order": ...,
            **EMPTY_SHOT,
        },
    ),
    Collection(
        "characters",
        "stories",
        (_BY_NAME,),
        defaults={
            **_NAMED,
            "role": "",
            "appearance": {},
            "outfits": [],
            "seed": 0,
            "voice_setting_id": None,
            "line_count": 0,
            "colour": "#808080",
        },
    ),
    Collection("locations", "stories", (_BY_NAME,), defaults=_NAMED),
    Collection("props", "stories", (_BY_NAME,), defaults=_NAMED),
)
_DONE = {"created": "added", "updated": "edited", "deleted": "deleted", "reordered": "moved"}
ACTIVITIES = (
    ActivityAction("story.created", "Story “{name}” imported with {scenes} scenes", "story"),
    ActivityAction("story.imported", "Story “{name}” replaced by a new file (version {version})", "story"),
    ActivityAction("story.updated", "Story “{name}” edited", "story"),
    ActivityAction("story.deleted", "Story “{name}” deleted", "story"),
    ActivityAction("story.restored", "Story “{name}” restored to version {version}", "story"),
    ActivityAction("story.breakdown_started", "Breakdown of “{name}” started", "story"),
    ActivityAction("story.breakdown_finished", "“{name}” broken down into {shots} shots", "story"),
    *(
        ActivityAction(f"{kind}.{code}", f"{kind.capitalize()} {{name}} {_DONE[code]}", kind)
        for kind in ("scene", "shot", "character", "location", "prop")
        for code in _DONE
        if code != "reordered" or kind in {"scene", "shot"}
    ),
)


class Plugin(StudioHooks):
    """Stories, scenes, shots and their cast."""

    manifest: ClassVar[Manifest] = Manifest("stories", provides=("Stories",), settings=StoriesSettings)

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> Iterable[Route]:
        """Return the table of routes."""
        return routes(ctx.settings(StoriesSettings).max_file_bytes)

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> Iterable[Collection]:
        """Return the collections of the stories database."""
        return COLLECTIONS

    @hookimpl
    def register_migrations(self, ctx: PluginContext) -> Iterable[Migration]:
        """Return the data migrations."""
        return MIGRATIONS

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> Iterable[Permission]:
        """Return the rights to read and to write stories."""
        return (Permission(READ, "Read stories and shots"), Permission(WRITE, "Edit stories and shots"))

    @hookimpl
    def register_jobs(self, ctx: PluginContext) -> Iterable[JobKind]:
        """Return the breakdown."""
        return (BreakdownService(StoryService(ctx)).kind(),)

    @hookimpl
    def register_activities(self, ctx: PluginContext) -> Iterable[ActivityAction]:
        """Return what the services log."""
        return ACTIVITIES

    @hookimpl
    def lifespan(self, ctx: PluginContext) -> AbstractAsyncContextManager[None]:
        """Provide the services."""
        return _services(ctx)

    @hookimpl
    async def job_changed(self, ctx: PluginContext, job: Doc) -> None:
        """Put a story's status back when its breakdown failed or was cancelled."""
        if job["kind"] == KIND and job["state"] in {"failed", "cancelled"}:
            await ctx.service(BreakdownService).failed(job)


@asynccontextmanager
async def _services(ctx: PluginContext) -> AsyncIterator[None]:
    stories = StoryService(ctx)
    ctx.provide(StoryService, stories)
    ctx.provide(Stories, stories)  # type: ignore[type-abstract]  # a protocol is the key
    ctx.provide(EditingService, EditingService(stories))
    ctx.provide(CastService, CastService(stories))
    ctx.provide(BreakdownService, BreakdownService(stories))
    yield
