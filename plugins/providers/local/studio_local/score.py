"""`LocalAssetScorer`: sharpness, contrast and exposure of an image, each with its reason."""

from __future__ import annotations

from typing import Any

from studio import ProviderRejectedError, ScoreRequest
from studio_local.jobs import Job, LocalGenerator, Outcome
from studio_local.runtime import runtime_of


class LocalAssetScorer(LocalGenerator[ScoreRequest]):
    """Judges images in a worker process."""

    kind = "score"
    request_type = ScoreRequest

    def __init__(self, ctx: Any) -> None:
        self._runtime = runtime_of(ctx)
        super().__init__(self._runtime.jobs)

    async def check(self, request: ScoreRequest) -> None:
        """Refuse a file that is not there."""
        if not request.image.is_file():
            raise ProviderRejectedError(f"The image {request.image.name} cannot be read.", input="image")

    async def produce(self, request: ScoreRequest, job: Job) -> Outcome:  # noqa: ARG002 - a score leaves no file
        """Judge one image."""
        return Outcome(data=await self._runtime.work("score", {"image": str(request.image.absolute())}))
