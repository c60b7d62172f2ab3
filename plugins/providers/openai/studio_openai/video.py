"""`OpenaiVideoGenerator`: a still becomes a job at `/videos`, whose file is fetched when it is done.

OpenAI itself announced the end of this API for 24 September 2026. Other servers speak it: vLLM-Omni, LiteLLM. Source:
OpenAI's OpenAPI document and its SDK 3.54.0, resources/videos.py; docs.vllm.ai, Videos API.
"""

from __future__ import annotations

import asyncio
import math
import mimetypes
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
from studio_jobvendor.api import extras_of, seconds_of, with_movement
from studio_openai.asking import calls_of
from studio_openai.files import OutputFolder
from studio_openai.models import TABLE, Video
from studio_openai.prices import chosen, priced
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from pathlib import Path

    from studio import PluginContext, VideoRequest

POLL_S, AT_ONCE_S, PICTURE_BYTES = 5.0, 0.1, 15_000_000
MIMES = ("video/", "application/octet-stream", "application/binary")
"""What the type of a video's file begins with; some servers do not know better."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_PICTURES = {"image/png", "image/jpeg", "image/webp"}


class OpenaiVideoGenerator:
    """Whole seconds from one still. The protocol cannot cancel, and calls nobody back."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = settings = ctx.settings(OpenaiSettings)
        self._models = priced(settings.video_models, settings.prices, ("video/mp4",))
        self._calls = calls_of(ctx, "video", settings.video_deadline_s)
        self._files = OutputFolder(settings.work_dir, keep_h=settings.keep_files_h)

    async def submit(self, request: VideoRequest) -> Generation:
        """Start one video: a form, as the vendor's own SDK sends it and as other servers want it."""
        model = chosen(self._models, request.model)
        if extras := extras_of(request):
            raise ProviderRejectedError(
                f"{model.name} makes no video from {' and '.join(sorted(extras))}.",
                code="operation_not_offered", input=min(extras),
            )  # fmt: skip
        if request.params:
            raise ProviderRejectedError(
                f"params: {', '.join(sorted(request.params))}: not to be set.", input="params"
            )
        form = {
            "model": model.name, "prompt": with_movement(request), "seconds": str(self._seconds(request)),
            "size": size_of(request.width, request.height, self._settings.video_sizes),
        }  # fmt: skip
        still = await asyncio.to_thread(_picture, request.image)
        video, _ = await self._calls.created("/videos", Video, data=form, files={"input_reference": still})
        if TABLE.state(video.status) == "succeeded":  # paid: a fetch that fails here would start another one
            return Generation(provider_job_id=video.id, percent=99, retry_after_s=AT_ONCE_S)
        return await self._told(video)

    async def poll(self, provider_job_id: str) -> Generation:
        """Ask how it goes; once it is done, fetch the file."""
        if not _ID.fullmatch(provider_job_id):
            raise ProviderRejectedError("This is no id of a video.", input="provider_job_id")
        _, video = await self._calls.read(f"/videos/{provider_job_id}", Video)
        if video is None:
            raise ProviderError("OpenAI answered with nothing.", code="provider_bad_answer")
        return await self._told(video)

    async def cancel(self, provider_job_id: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: a running video cannot be deleted; the job is followed to its end."""
        return False

    def estimate(self, request: VideoRequest) -> Estimate:
        """Return the price by seconds or by call, where the operator has set one."""
        model = chosen(self._models, request.model)
        cost = price_of(model, {"seconds": self._seconds(request), "calls": 1})
        return Estimate(cost_uusd=cost, note="by seconds")

    def _seconds(self, request: VideoRequest) -> int:
        return seconds_of(request.duration_ms, self._settings.video_seconds)

    async def _told(self, video: Video) -> Generation:
        state = TABLE.state(video.status)
        if state == "running":
            percent = None if video.progress is None else min(99, int(video.progress))
            return Generation(provider_job_id=video.id, percent=percent, retry_after_s=POLL_S)
        if state == "failed":
            trouble = video.error
            error = TABLE.failure(trouble and trouble.code, message=(trouble and trouble.message) or "")
            return Generation(provider_job_id=video.id, state="failed", error=error)
        return await self._fetched(video)

    async def _fetched(self, video: Video) -> Generation:
        """Return the finished video; a file that is there from an earlier question is not fetched again.

        One that is done and gives no video is charged all the same.
        """
        usage = {"calls": 1} | ({"seconds": math.ceil(video.seconds)} if video.seconds else {})
        path = await self._files.place(f"video-{video.id}", ".mp4")
        if not await asyncio.to_thread(path.exists):
            try:
                await self._calls.save(f"/videos/{video.id}/content", path, MIMES)
            except ProviderRejectedError as error:
                return _lost(video.id, error.detail, usage)
        lasts = round(video.seconds * 1000) if video.seconds else None
        file = MediaFile(mime="video/mp4", path=path, duration_ms=lasts)
        return Generation(
            provider_job_id=video.id, state="succeeded", percent=100, files=(file,), usage=usage
        )


def _lost(video_id: str, why: str, usage: dict[str, int]) -> Generation:
    error = GenerationError(code="provider_no_result", message=why)
    return Generation(provider_job_id=video_id, state="failed", error=error, usage=usage)


def size_of(width: int, height: int, offered: tuple[str, ...]) -> str:
    """Return the offered size whose proportions are nearest, the smaller first; the wanted one where any is good."""
    if min(width, height) < 1:
        raise ProviderRejectedError(f"{width}x{height} is no size.", input="size")
    if not offered:
        return f"{width}x{height}"

    def distance(size: str) -> tuple[float, int]:
        across, down = map(int, size.split("x"))
        return round(abs(math.log(width * down / (height * across))), 6), abs(across * down - width * height)

    return min(offered, key=distance)


def _picture(path: Path) -> tuple[str, bytes, str]:
    mime = mimetypes.guess_type(path.name, strict=False)[0] or ""
    if mime not in _PICTURES:
        raise ProviderRejectedError("A still is PNG, JPEG or WebP.", code="image_refused", input="image")
    if path.stat().st_size > PICTURE_BYTES:
        raise ProviderRejectedError(
            f"A still has up to {PICTURE_BYTES} bytes.", code="image_refused", input="image"
        )
    return f"still{path.suffix.lower()}", path.read_bytes(), mime
