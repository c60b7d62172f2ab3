"""Wires asset generation into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import (
    ActivityAction,
    Collection,
    Doc,
    Event,
    Index,
    JobKind,
    Manifest,
    Permission,
    PluginContext,
    Route,
    StudioHooks,
    hookimpl,
)
from studio_asset_gen.api import Assets, Views
from studio_asset_gen.events import JobEvents
from studio_asset_gen.finishing import COLLECTION
from studio_asset_gen.jobs import job_kinds
from studio_asset_gen.kinds.clips import ClipKind
from studio_asset_gen.kinds.music import MusicKind
from studio_asset_gen.kinds.panels import PanelKind
from studio_asset_gen.kinds.voices import VoiceKind
from studio_asset_gen.routes import ROUTES
from studio_asset_gen.scoring import Scoring
from studio_asset_gen.service import AssetGenService
from studio_asset_gen.takes import AssetStore
from studio_asset_gen.voices import COLLECTION as VOICE_SETTINGS
from studio_asset_gen.voices import VoiceService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COLLECTIONS = [
    Collection(
        COLLECTION,
        indexes=(
            Index((("owner.id", 1), ("slot", 1), ("take", 1)), unique=True),
            Index((("project_id", 1), ("_id", -1))),
        ),
        defaults={
            "project_id": ...,
            "owner": ...,
            "kind": ...,
            "role": ...,
            "slot": ...,
            "take": ...,
            "state": ...,
            "blob": ...,
            "cost_uusd": ...,
            "media": {},
            "basis": {},
            "provider": None,
            "model": None,
            "scores": [],
            "favourite_by": [],
            "rating": None,
            "tags": [],
            "provenance": {},
            "selected": False,
        },
    ),
    Collection(
        VOICE_SETTINGS,
        indexes=(Index((("project_id", 1),)),),
        defaults={
            "project_id": ...,
            "character_id": ...,
            "provider": ...,
            "voice": ...,
            "name": "",
            "language": "en",
            "rate": 165,
            "pitch": 50,
            "fallback": [],
            "auto": False,
        },
    ),
]


class Plugin(StudioHooks):
    """Panels, voices, clips and music; their takes, their jobs, and the voices of the characters."""

    manifest = Manifest(
        name="asset_gen",
        requires=("stories", "projects"),
        after=("moderation",),
        provides=("Assets", "Views"),
    )
    """After moderation: what is refused is not scored."""

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/assetGen."""
        return ROUTES

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return assets and voice settings."""
        return COLLECTIONS

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        """Return the rights over takes."""
        return [
            Permission("asset:read", "See and hear takes, jobs and voices"),
            Permission("asset:generate", "Generate takes, which may cost money"),
            Permission("asset:write", "Choose, rate and tag takes, set voices"),
        ]

    @hookimpl
    def register_jobs(self, ctx: PluginContext) -> list[JobKind]:
        """Return one kind of job per medium."""
        return job_kinds(ctx)

    @hookimpl
    def register_events(self, ctx: PluginContext) -> list[Event]:
        """Return the events of jobs and takes."""
        return [
            Event("assetGenResponse", "A generation of yours has news", legacy=True),
            Event("job.updated", "A job of the project has news"),
            Event("asset.ready", "A take of the project is there, or was chosen"),
        ]

    @hookimpl
    def register_activities(self, ctx: PluginContext) -> list[ActivityAction]:
        """Return what is logged of generations, takes and voices."""
        return [
            ActivityAction("generation.started", "ordered {count} takes of {slot}", "generation"),
            ActivityAction("generation.cancelled", "cancelled {kind}", "generation"),
            ActivityAction("generation.retried", "retried {kind}", "generation"),
            ActivityAction("batch.started", "ordered {count} takes: {kinds}", "generation"),
            ActivityAction("batch.cancelled", "cancelled {count} waiting jobs", "generation"),
            ActivityAction("asset.generated", "got take {take} of {slot}", "generation"),
            ActivityAction("asset.late", "got take {take} of {slot} after it was cancelled", "generation"),
            ActivityAction("asset.withheld", "did not get a take of {slot}: {code}", "generation"),
            ActivityAction("asset.released", "had take {take} of {slot} judged again", "generation"),
            ActivityAction("asset.selected", "chose take {take} of {slot}", "generation"),
            ActivityAction("voice.fell_back", "changed a line from {provider} to {fallback}", "generation"),
            ActivityAction("voice_setting.updated", "gave {name} the voice {voice}", "generation"),
        ]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the services, and `Assets` for other plugins."""
        store, voices = AssetStore(ctx), VoiceService(ctx)
        for kind in (PanelKind(ctx, store), VoiceKind(ctx, voices), ClipKind(ctx, store), MusicKind(store)):
            store.join(kind)
        ctx.provide(AssetStore, store)
        ctx.provide(Assets, store)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        ctx.provide(VoiceService, voices)
        service = AssetGenService(ctx, store, voices)
        ctx.provide(AssetGenService, service)
        ctx.provide(Views, service.orders)  # type: ignore[type-abstract]  # as above
        ctx.provide(Scoring, Scoring(ctx, store))
        ctx.provide(JobEvents, JobEvents(ctx, store))
        yield

    @hookimpl
    async def job_changed(self, ctx: PluginContext, job: Doc) -> None:
        """Tell the front end, and hand a failed line to its fallback voice."""
        await ctx.service(JobEvents).job_changed(job)

    @hookimpl
    async def finalize_asset(self, ctx: PluginContext, asset: Doc) -> Doc | None:
        """Score a new picture where somebody does it for free."""
        return await ctx.service(Scoring).finalize(asset)
