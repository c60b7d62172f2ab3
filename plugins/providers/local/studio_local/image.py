"""`LocalImageGenerator`: storyboard panels drawn by rule from a shot's brief."""

from __future__ import annotations

from typing import Any

from studio import ImageRequest, MediaFile, ProviderRejectedError, ShotBrief
from studio_local.files import replacing_later
from studio_local.jobs import Job, LocalGenerator, Outcome
from studio_local.runtime import runtime_of

_SMALLEST, _LARGEST = 64, 4096


class LocalImageGenerator(LocalGenerator[ImageRequest]):
    """Draws in a worker process; the same brief, size and seed give the same picture."""

    kind = "image"
    request_type = ImageRequest

    def __init__(self, ctx: Any) -> None:
        self._runtime = runtime_of(ctx)
        super().__init__(self._runtime.jobs)

    async def check(self, request: ImageRequest) -> None:
        """Refuse sizes that nobody could draw in time."""
        if not all(_SMALLEST <= side <= _LARGEST for side in (request.width, request.height)):
            message = (
                f"{request.width}x{request.height}: each side must have {_SMALLEST} to {_LARGEST} pixels."
            )
            raise ProviderRejectedError(message, input="size")

    async def produce(self, request: ImageRequest, job: Job) -> Outcome:
        """Draw one JPEG. Without a brief the prompt becomes the caption over an empty field."""
        brief = request.brief or ShotBrief(int_ext="EXT", shot_size="LS", caption=request.prompt)
        panel = job.folder / "panel.jpg"
        async with replacing_later(panel) as part:
            await self._runtime.work(
                "draw",
                {
                    "brief": brief.model_dump(mode="json"), "seed": request.seed,
                    "width": request.width, "height": request.height, "out": str(part),
                },
            )  # fmt: skip
        size = {"width": request.width, "height": request.height}
        return Outcome((MediaFile(mime="image/jpeg", path=panel, meta={"seed": request.seed}, **size),))
