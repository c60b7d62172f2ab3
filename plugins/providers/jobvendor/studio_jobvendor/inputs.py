"""From a request of ours to the input of a model, as the configuration maps it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from studio import (
    GenerationRequest,
    ImageEditRequest,
    ImageRequest,
    InvalidInputError,
    MusicRequest,
    ProviderError,
    ProviderRejectedError,
    VideoRequest,
)
from studio_jobvendor.requests import ClipRequest, extras_of
from studio_jobvendor.settings import HostedModel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

UPLOADS_S = 300.0
"""What uploads may take, all together; they end before the call's own deadline, which would have to count as sent."""
RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21")
M = TypeVar("M", bound=HostedModel)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Maps requests for one vendor, whose name stands in what is refused."""

    vendor: str

    def choose(self, models: Mapping[str, M], request: GenerationRequest) -> tuple[str, M]:
        """Return the named model, else the first that can do it; raises InvalidInputError, ProviderRejectedError."""
        if request.model is not None and request.model not in models:
            raise InvalidInputError(
                f"{self.vendor} has no model {request.model!r}; choose from {sorted(models)}."
            )
        named = [request.model] if request.model else list(models)
        for name in named:
            if _can(models[name], request):
                return name, models[name]
        operation = request.operation if isinstance(request, ImageEditRequest) else None
        wanted = operation or " and ".join(sorted(extras_of(request)))
        raise ProviderRejectedError(
            f"No model of {self.vendor} that is asked for can do {wanted}.",
            code="operation_not_offered",
            input="operation" if operation else min(extras_of(request), default=None),
        )

    async def input_of(
        self, model: HostedModel, request: GenerationRequest, deliver: Callable[[Path], Awaitable[str]]
    ) -> dict[str, Any]:
        """Return the model's input; `deliver` makes a local file readable for the vendor and returns its address.

        Raises ProviderError (`upload_failed`) after `UPLOADS_S`: nothing was started, so a repetition costs nothing.
        """
        if refused := sorted(set(request.params) - set(model.params)):
            raise InvalidInputError(
                f"{', '.join(refused)}: not to be set; this model takes {sorted(model.params)}."
            )
        try:
            async with asyncio.timeout(UPLOADS_S):
                return await self._mapped(model, self.sources_of(request, model), deliver) | request.params
        except TimeoutError as error:
            detail = f"The files did not reach {self.vendor} within {UPLOADS_S:g} s."
            raise ProviderError(detail, code="upload_failed") from error

    async def _mapped(
        self, model: HostedModel, values: Mapping[str, Any], deliver: Callable[[Path], Awaitable[str]]
    ) -> dict[str, Any]:
        found: dict[str, Any] = dict(model.fixed)
        for source, target in model.fields.items():
            value = values.get(source)
            if isinstance(value, Path):
                found[target] = await deliver(value)
            elif isinstance(value, tuple):
                if value:
                    found[target] = [await deliver(path) for path in value]
            elif value is not None:
                found[target] = value
        return found

    def sources_of(self, request: GenerationRequest, model: HostedModel) -> dict[str, Any]:
        """Return what a request offers under the names of `Source`; absent parts are None."""
        if isinstance(request, ImageRequest):
            return _picture(request) | {
                "negative": request.negative or None,
                "reference": next(iter(request.references), None),
                "references": request.references,
            }
        if isinstance(request, ImageEditRequest):
            return _picture(request) | {"image": request.image, "mask": request.mask}
        if isinstance(request, VideoRequest):
            return _video(request, seconds_of(request.duration_ms, model.durations))
        if isinstance(request, MusicRequest):
            seconds = seconds_of(request.duration_ms, model.durations)
            return {
                "prompt": request.prompt
                or f"{request.mood} instrumental film music, {request.tempo_bpm} bpm",
                "duration_s": seconds,
                "duration_text": str(seconds),
                "seed": request.seed,
                "mood": request.mood,
                "tempo_bpm": request.tempo_bpm,
            }
        raise InvalidInputError(f"{self.vendor} cannot take a {type(request).__name__}.")


def _can(model: HostedModel, request: GenerationRequest) -> bool:
    if isinstance(request, ImageEditRequest):
        return request.operation in model.operations
    return extras_of(request) <= model.fields.keys()


def _picture(request: ImageRequest | ImageEditRequest) -> dict[str, Any]:
    return {
        "prompt": request.prompt or None,
        "seed": request.seed,
        "width": request.width,
        "height": request.height,
        "size": {"width": request.width, "height": request.height},
        "aspect_ratio": ratio_of(request.width, request.height),
    }


def _video(request: VideoRequest, seconds: int) -> dict[str, Any]:
    size = {"width": request.width, "height": request.height}
    found = size | {
        "prompt": request.prompt,
        "image": request.image,
        "aspect_ratio": ratio_of(request.width, request.height),
        "duration_s": seconds,
        "duration_text": str(seconds),
        "size": size,
        "fps": request.fps,
        "movement": request.movement,
    }
    if isinstance(request, ClipRequest):
        instead = bool(request.references or request.video)
        found |= {name: getattr(request, name) for name in ("last_image", "references", "video")}
        found |= {"reference": next(iter(request.references), None), **({"image": None} if instead else {})}
    return found


def seconds_of(duration_ms: int, offered: Sequence[int]) -> int:
    """Return whole seconds, the shortest offered length that is long enough, else the longest."""
    wanted = max(1, -(-duration_ms // 1000))
    return min((length for length in offered if length >= wanted), default=max(offered, default=wanted))


def ratio_of(width: int, height: int, offered: Sequence[str] = RATIOS) -> str:
    """Return the nearest of the usual aspect ratios, by proportion."""

    def distance(ratio: str) -> float:
        across, down = map(int, ratio.split(":"))
        return max(width * down / (height * across), height * across / (width * down))

    return min(offered, key=distance)
