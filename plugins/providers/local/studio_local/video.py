"""`LocalVideoGenerator`: a still under a moving camera."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

from studio import MediaFile, ProviderRejectedError, VideoRequest
from studio_local.film.segments import Frame, Still, film_panel, keep
from studio_local.jobs import Job, LocalGenerator, Outcome
from studio_local.runtime import runtime_of

_LENGTHS = range(100, 120_001)
_SIDES = range(16, 4097, 2)


class LocalVideoGenerator(LocalGenerator[VideoRequest]):
    """Makes a Ken Burns clip: H.264, yuv420p, no sound, as long as asked for to the frame."""

    kind = "video"
    request_type = VideoRequest

    def __init__(self, ctx: Any) -> None:
        self._runtime = runtime_of(ctx)
        super().__init__(self._runtime.jobs)

    async def check(self, request: VideoRequest) -> None:
        """Refuse a missing still, an odd size, a length out of reach."""
        self._runtime.ffmpeg.find()
        if not request.image.is_file():
            raise ProviderRejectedError(f"The image {request.image.name} cannot be read.", input="image")
        if request.duration_ms not in _LENGTHS:
            raise ProviderRejectedError("A clip lasts 0.1 to 120 seconds.", input="duration_ms")
        if request.width not in _SIDES or request.height not in _SIDES:
            raise ProviderRejectedError("Width and height must be even, 16 to 4096 pixels.", input="size")

    async def produce(self, request: VideoRequest, job: Job) -> Outcome:
        """Film the still."""
        target, scratch = job.folder / "clip.mp4", job.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        frame = Frame(request.width, request.height, request.fps)
        frames = max(1, round(request.duration_ms * request.fps / 1000))
        try:
            still = Still(request.image, request.movement, frames, frame)
            await film_panel(still, [], scratch / target.name, self._runtime)
            await keep(scratch / target.name, target)
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        length = round(frames * 1000 / request.fps)
        size = {"width": request.width, "height": request.height, "duration_ms": length}
        return Outcome((MediaFile(mime="video/mp4", path=target, **size),))
