"""`LocalThumbnailer`: small pictures of pictures, and of a frame of a video."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

from studio import MediaFile, ProviderError, ProviderRejectedError
from studio_local.files import link, replacing_later
from studio_local.jobs import Job, LocalGenerator, Outcome
from studio_local.runtime import runtime_of
from studio_previews.api import ThumbnailRequest

if TYPE_CHECKING:
    from pathlib import Path

_DEMUXERS = {"video/mp4": "mov", "video/quicktime": "mov", "video/webm": "matroska"}
"""A video is read as what it says it is: ffmpeg would also follow a playlist to other files."""

_MOST_PIXELS = "50000000"
"""Of a frame, as of every picture: 280 KB that say 16000x16000 had ffmpeg, which no limit binds, take 1 GB."""


class LocalThumbnailer(LocalGenerator[ThumbnailRequest]):
    """Decodes in a worker process, pictures as carefully as every other one from outside."""

    kind = "thumbnail"
    request_type = ThumbnailRequest

    def __init__(self, ctx: Any) -> None:
        self._runtime = runtime_of(ctx)
        super().__init__(self._runtime.jobs)

    async def check(self, request: ThumbnailRequest) -> None:
        """Refuse a file that is not there, a video of another kind, and videos without ffmpeg."""
        if not request.file.is_file():
            raise ProviderRejectedError(f"The file {request.file.name} cannot be read.", input="image")
        if request.mime.startswith("video/"):
            self._runtime.ffmpeg.find()
            if request.mime not in _DEMUXERS:
                message = f"No frame can be taken of {request.mime}: {', '.join(sorted(_DEMUXERS))}."
                raise ProviderRejectedError(message, input="image")

    async def produce(self, request: ThumbnailRequest, job: Job) -> Outcome:
        """Make one picture."""
        scratch = job.folder / "scratch"
        try:
            source = request.file.absolute()
            if request.mime.startswith("video/"):
                source = await self._frame(request, scratch)
            return await self._shrunk(request, source, job.folder / f"thumbnail.{request.format}")
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _shrunk(self, request: ThumbnailRequest, source: Path, target: Path) -> Outcome:
        asked = request.model_dump(include={"format", "long_side"})
        async with replacing_later(target) as part:
            made = await self._runtime.work("shrink", asked | {"file": str(source), "out": str(part)})
        width, height = made["thumbnail"]
        file = MediaFile(mime=f"image/{request.format}", path=target, width=width, height=height)
        size = dict(zip(("width", "height"), made["size"], strict=True))
        return Outcome((file,), {"blurhash": made["blurhash"]} | size)

    async def _frame(self, request: ThumbnailRequest, scratch: Path) -> Path:
        """Return one frame of a video as a JPEG of its size."""
        await asyncio.to_thread(scratch.mkdir, exist_ok=True)
        link(scratch / "source", request.file)
        read = ["-max_pixels", _MOST_PIXELS, "-f", _DEMUXERS[request.mime], "-i", "source"]
        seek = ["-ss", f"{request.at_ms / 1000:.3f}", *read]
        picture = ["-frames:v", "1", "-pix_fmt", "yuvj420p", "-q:v", "2", "-f", "mjpeg", "frame.jpg"]
        try:
            await self._runtime.ffmpeg.run([*seek, "-an", "-sn", *picture], cwd=scratch)
        except ProviderError as error:
            raise ProviderRejectedError(f"No frame can be read: {error.detail}", input="image") from error
        frame = scratch / "frame.jpg"
        if not frame.is_file() or not frame.stat().st_size:
            raise ProviderRejectedError(f"The video has no frame at {request.at_ms} ms.", input="image")
        return frame
