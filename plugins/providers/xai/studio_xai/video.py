"""`XaiVideoGenerator`: a still is animated, or a clip goes on, by a job that is asked for until it is done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from studio import (
    Estimate,
    Generation,
    GenerationError,
    MediaFile,
    ProviderError,
    ProviderRejectedError,
    price_of,
)
from studio_jobvendor.api import ClipRequest, extras_of, with_movement
from studio_openai.api import chosen, priced
from studio_openai.api.chat import params_of
from studio_xai.asking import CLIP_BYTES, calls_of, ratio_of, uri_of
from studio_xai.image import BLOCKED
from studio_xai.models import TABLE, Started, Video, VideoParams, uusd, words_of
from studio_xai.settings import XaiSettings

if TYPE_CHECKING:
    from studio import Doc, PluginContext, VideoRequest

POLL_S, LONGEST_MS = 5.0, 15_000
SHORTEST_ADDED_S, LONGEST_ADDED_MS = 2, 10_000
"""What a clip can go on for. Source: docs.x.ai, model capabilities, video extension."""
_ACCEPTED = 202
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_SHARPER = "1.5"
"""Models from here on draw 1080 lines."""
_LOST = GenerationError(code="provider_no_result", message="xAI says it is done and names no video.")


class XaiVideoGenerator:
    """1 to 15 whole seconds from one still or from references, 2 to 10 after a clip. The vendor cannot cancel."""

    def __init__(self, ctx: PluginContext) -> None:
        settings = ctx.settings(XaiSettings)
        self._models = priced(settings.video_models, settings.prices, ("video/mp4",))
        self._calls = calls_of(ctx, "video", settings.video_deadline_s)

    async def submit(self, request: VideoRequest) -> Generation:
        """Start one video."""
        model, params = chosen(self._models, request.model), params_of(VideoParams, request.params)
        extras = extras_of(request)
        if "last_image" in extras or len(extras) > 1:
            raise ProviderRejectedError(
                f"xAI makes no video from {' and '.join(sorted(extras))}.",
                code="operation_not_offered", input=min(extras),
            )  # fmt: skip
        body: Doc = {"model": model.name, "prompt": with_movement(request), "duration": _seconds(request)}
        if "video" in extras:
            path, body = "/videos/extensions", body | await _clip(request, params)
        else:
            path, body = "/videos/generations", body | await _pictures(request, model.name, params)
        started, _ = await self._calls.created(path, Started, json=body)
        return Generation(provider_job_id=started.request_id, retry_after_s=POLL_S)

    async def poll(self, provider_job_id: str) -> Generation:
        """Ask how it goes. 202 means that it goes on, whatever the body; failures come with 200."""
        if not _ID.fullmatch(provider_job_id):
            raise ProviderRejectedError("This is no id of a video.", input="provider_job_id")
        status, found = await self._calls.read(f"/videos/{provider_job_id}", Video)
        if status == _ACCEPTED:
            return self._running(provider_job_id, found)
        if found is None:
            raise ProviderError("xAI answered with nothing.", code="provider_bad_answer")
        done = found.status is None and found.video is not None and found.video.url
        state = TABLE.state("done" if done else found.status)
        if state == "running":
            return self._running(provider_job_id, found)
        if state == "succeeded":
            return _finished(provider_job_id, found)
        return _failed(provider_job_id, found, _reason(found))

    async def cancel(self, provider_job_id: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: the vendor has no such call; the job is followed to its end."""
        return False

    def estimate(self, request: VideoRequest) -> Estimate:
        """Return the price by whole seconds, where the operator has set one."""
        model = chosen(self._models, request.model)
        return Estimate(
            cost_uusd=price_of(model, {"seconds": _seconds(request), "calls": 1}), note="by seconds"
        )

    def _running(self, provider_job_id: str, found: Video | None) -> Generation:
        progress = found.progress if found else None
        percent = None if progress is None else min(99, max(0, int(progress)))
        return Generation(provider_job_id=provider_job_id, percent=percent, retry_after_s=POLL_S)


async def _pictures(request: VideoRequest, model: str, params: VideoParams) -> Doc:
    """Return the part of a body that says from which pictures, and how large."""
    references = request.references if isinstance(request, ClipRequest) else ()
    sharp = _is_sharp(model) and not references
    found: Doc = {
        "aspect_ratio": ratio_of(request.width, request.height),
        "resolution": resolution_of(request.width, request.height, sharp=sharp),
    } | params.given()
    if found["resolution"] == "1080p" and not sharp:
        why = "references go without" if references else f"{model} has no"
        raise ProviderRejectedError(f"params.resolution: {why} 1080p.", input="params")
    if references:
        return found | {
            "reference_images": [{"url": await uri_of(path, "references")} for path in references]
        }
    return found | {"image": {"url": await uri_of(request.image)}}


async def _clip(request: VideoRequest, params: VideoParams) -> Doc:
    """Return the part of a body that says after which clip: it goes on as large as it is."""
    video = request.video if isinstance(request, ClipRequest) else None
    if video is None or video.suffix.lower() != ".mp4":
        raise ProviderRejectedError("xAI goes on from an MP4 only.", input="video")
    if params.given():
        raise ProviderRejectedError("params.resolution: a clip goes on as large as it is.", input="params")
    return {"video": {"url": await uri_of(video, "video", CLIP_BYTES)}}


def _finished(provider_job_id: str, found: Video) -> Generation:
    clip = found.video
    if clip is not None and clip.respect_moderation is False:
        return _failed(provider_job_id, found, BLOCKED)
    if clip is None or not clip.url:
        lost = _failed(provider_job_id, found, _LOST)
        return lost.model_copy(update={"usage": {"calls": 1}})  # it says that it has worked: that is charged
    lasts = clip.duration or 0
    file = MediaFile(mime="video/mp4", url=clip.url, duration_ms=round(lasts * 1000) or None)
    usage = {"seconds": -int(-lasts // 1), "calls": 1} if lasts else {}
    return Generation(
        provider_job_id=provider_job_id, state="succeeded", percent=100, files=(file,), usage=usage,
        cost_uusd=_cost(found),
    )  # fmt: skip


def _failed(provider_job_id: str, found: Video, error: GenerationError) -> Generation:
    return Generation(provider_job_id=provider_job_id, state="failed", error=error, cost_uusd=_cost(found))


def _reason(found: Video) -> GenerationError:
    error = found.error.model_dump() if found.error and not isinstance(found.error, str) else found.error
    words, message = words_of({"error": error})
    if found.status == "expired":
        message = message or "xAI's work expired before it was done."
    return TABLE.failure(*words, found.status, message=message)


def _cost(found: Video) -> int | None:
    return uusd(found.usage.cost_in_usd_ticks) if found.usage else None


def _seconds(request: VideoRequest) -> int:
    added = "video" in extras_of(request)
    longest, shortest = (LONGEST_ADDED_MS, SHORTEST_ADDED_S) if added else (LONGEST_MS, 1)
    if not 0 < request.duration_ms <= longest:
        lasts = "goes on" if added else "lasts"
        raise ProviderRejectedError(f"A video {lasts} up to {longest} ms.", input="duration_ms")
    return max(shortest, -(-request.duration_ms // 1000))


def _is_sharp(model: str) -> bool:
    return _SHARPER in model


def resolution_of(width: int, height: int, *, sharp: bool) -> str:
    """Return the lines to ask for: the least that have the wanted ones; 1080 from a `sharp` model only."""
    lines = min(width, height)
    if lines <= 480:  # noqa: PLR2004 - the names of the resolutions are their lines
        return "480p"
    return "1080p" if lines > 720 and sharp else "720p"  # noqa: PLR2004 - as above
