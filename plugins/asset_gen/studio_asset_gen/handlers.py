"""Handlers of generations, jobs, takes and voices."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from studio import Doc, NotFoundError, Page, Request
from studio_asset_gen.files import file_answer
from studio_asset_gen.models import (
    AssetQuery,
    AssetUpdate,
    BatchRequest,
    CancelRequest,
    EstimateRequest,
    FileQuery,
    GenerateRequest,
    JobQuery,
    ModelQuery,
    StaleQuery,
)
from studio_asset_gen.scoring import Scoring
from studio_asset_gen.service import AssetGenService
from studio_asset_gen.takes import AssetStore, with_url
from studio_asset_gen.voice_models import PreviewRequest, VoiceQuery, VoiceSettingUpdate
from studio_asset_gen.voices import VoiceService
from studio_stories.api import Stories

# ---------------------------------------------------------------- what a route is about


async def load_target(request: Request) -> Doc:
    """Return the shot or story that is generated for."""
    return await request.service(AssetGenService).orders.project_of_target(request.body.target)


async def load_story(request: Request) -> Doc:
    """Return the story that body or query names."""
    story_id = (request.body or request.query).story_id
    return await request.service(Stories).story(story_id)  # type: ignore[type-abstract]  # a protocol is the key it is asked by


async def load_estimated(request: Request) -> Doc:
    """Return the story or the target that an estimate is about."""
    return await (load_story(request) if request.body.story_id else _target_of_estimate(request))


async def _target_of_estimate(request: Request) -> Doc:
    orders = request.service(AssetGenService).orders
    return await orders.project_of_target(orders.named(request.body.target))


async def load_job(request: Request) -> Doc:
    """Return the job of the path."""
    return await request.ctx.jobs.get(request.path["job_id"])


async def load_asset(request: Request) -> Doc:
    """Return the asset of the path; one that was not released is not there."""
    return await request.service(AssetStore).shown(request.path["asset_id"])


async def load_take(request: Request) -> Doc:
    """Return the asset of the path in any state; the service says what that state does not allow."""
    return await request.service(AssetStore).asset(request.path["asset_id"])


async def load_setting(request: Request) -> Doc:
    """Return the voice setting of the path."""
    return await request.service(VoiceService).setting(request.path["setting_id"])


# ---------------------------------------------------------------- generations


async def estimate(request: Request, body: EstimateRequest) -> Doc:
    """Say what a batch or one generation would cost."""
    return await request.service(AssetGenService).estimate(body)


async def generate(request: Request, body: GenerateRequest) -> Doc:
    """Order new takes for one slot."""
    return await request.service(AssetGenService).generate(request.actor, body, request.once)


async def batch(request: Request, body: BatchRequest) -> Doc:
    """Order what a story lacks."""
    return await request.service(AssetGenService).batch(request.actor, body)


async def list_stale(request: Request, query: StaleQuery) -> Doc:
    """List what would be made again, with its price."""
    return await request.service(AssetGenService).stale(EstimateRequest(story_id=query.story_id))


async def list_models(request: Request, query: ModelQuery) -> Doc:
    """List providers and models, with the reason where one is off."""
    return {"items": request.service(AssetGenService).models(query.capability)}


# ---------------------------------------------------------------- jobs


async def list_jobs(request: Request, query: JobQuery) -> Page:
    """List a project's jobs, newest first."""
    page: Page = await request.ctx.jobs.page(
        query.project_id,
        batch_id=query.batch_id,
        state=query.state,
        cursor=query.cursor,
        limit=query.limit,
    )
    return page


async def get_job(request: Request, target: Any) -> Doc:  # noqa: ARG001 - every handler takes the request
    """Return one job."""
    job: Doc = target
    return job


async def cancel_job(request: Request, target: Any) -> Doc:
    """Cancel a job; one under way stops as soon as its provider was told."""
    return await request.service(AssetGenService).cancel(request.actor, target)


async def retry_job(request: Request, target: Any) -> Doc:
    """Begin another attempt of a failed or cancelled job."""
    return await request.service(AssetGenService).retry(request.actor, target)


async def release_job(request: Request, target: Any) -> Doc:
    """Have takes that nobody could judge judged again; nothing is generated."""
    released = await request.service(AssetStore).release(request.actor, target)
    return {"items": [with_url(asset) for asset in released]}


async def cancel_jobs(request: Request, body: CancelRequest) -> Doc:
    """Cancel the queued jobs of a batch or a project."""
    return {"cancelled": await request.service(AssetGenService).cancel_pending(request.actor, body)}


async def get_queue(request: Request) -> Doc:
    """Say whether queued jobs run."""
    return {"paused": await request.ctx.jobs.paused()}


async def pause_queue(request: Request) -> Doc:
    """Leave the queued jobs of all projects where they are; those under way go on."""
    return await request.service(AssetGenService).pause(request.actor, paused=True)


async def resume_queue(request: Request) -> Doc:
    """Let queued jobs run again."""
    return await request.service(AssetGenService).pause(request.actor, paused=False)


# ---------------------------------------------------------------- voices


async def list_voices(request: Request, query: VoiceQuery) -> Doc:
    """List the voices that can be had now."""
    return {"items": await request.service(VoiceService).list_voices(query.provider, query.language)}


async def list_voice_settings(request: Request, query: StaleQuery) -> Doc:
    """List how the characters of a story sound."""
    view = await request.service(AssetGenService).orders.view(query.story_id)
    return {"items": await request.service(VoiceService).list_settings(view)}


async def update_voice_setting(request: Request, body: VoiceSettingUpdate) -> Doc:
    """Give a character a voice."""
    view = await request.service(AssetGenService).orders.view(body.story_id)
    return await request.service(VoiceService).update_setting(request.actor, view, body)


async def preview_voice(request: Request, target: Any, body: PreviewRequest | None = None) -> Doc:
    """Order a short sample of a character's voice."""
    service = request.service(AssetGenService)
    return {
        "job": (job := await service.preview(request.actor, target, body or PreviewRequest())),
        "jobs": [job],
    }


# ---------------------------------------------------------------- takes


async def list_assets(request: Request, query: AssetQuery) -> Page:
    """List takes, newest first."""
    page = await request.service(AssetStore).page(query)
    return Page([with_url(asset) for asset in page.items], page.next_cursor)


async def get_asset(request: Request, target: Any) -> Doc:  # noqa: ARG001 - every handler takes the request
    """Return one take."""
    return with_url(target)


async def select_asset(request: Request, target: Any) -> Doc:
    """Make a take the current one of its slot."""
    return with_url(await request.service(AssetStore).select(request.actor, target))


async def update_asset(request: Request, target: Any, body: AssetUpdate) -> Doc:
    """Set favourite, rating and tags of a take."""
    return with_url(await request.service(AssetStore).update(request.actor, target, body))


async def score_asset(request: Request, target: Any) -> Doc:
    """Judge a picture now."""
    return with_url(await request.service(Scoring).score(request.actor, target))


async def get_asset_file(request: Request, target: Any, query: FileQuery) -> web.StreamResponse:
    """Return the file of a take."""
    path = await request.service(AssetStore).path(target)
    return file_answer(target, path, query.v, download=query.download)


async def get_asset_thumbnail(request: Request, target: Any, query: FileQuery) -> web.StreamResponse:
    """Return the small picture of a take."""
    small = target.get("thumbnail")
    if small is None:
        raise NotFoundError("This take has no thumbnail.")
    shown = {"_id": target["_id"], "role": f"{target['role']}-thumbnail", "blob": small}
    path = await request.service(AssetStore).path(shown)
    return file_answer(shown, path, query.v, download=query.download)
