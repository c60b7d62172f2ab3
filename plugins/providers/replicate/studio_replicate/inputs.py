"""From a request of ours to the `input` of a model, as the configuration maps it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import (
    GenerationRequest,
    ImageEditRequest,
    ImageRequest,
    InvalidInputError,
    MusicRequest,
    ProviderRejectedError,
    VideoRequest,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from studio_replicate.settings import ReplicateModel

RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21")


def choose(models: Mapping[str, ReplicateModel], request: GenerationRequest) -> tuple[str, ReplicateModel]:
    """Return the named model, else the first that can do it; raises InvalidInputError, ProviderRejectedError."""
    if request.model is not None and request.model not in models:
        raise InvalidInputError(f"Replicate has no model {request.model!r}; choose from {sorted(models)}.")
    wanted = request.operation if isinstance(request, ImageEditRequest) else None
    named = [request.model] if request.model else list(models)
    for name in named:
        if wanted is None or wanted in models[name].operations:
            return name, models[name]
    raise ProviderRejectedError(
        f"No model of Replicate that is asked for can do {wanted}.",
        code="operation_not_offered",
        input="operation",
    )


async def input_of(
    model: ReplicateModel, request: GenerationRequest, deliver: Callable[[Path], Awaitable[str]]
) -> dict[str, Any]:
    """Return the model's input; `deliver` makes a local file readable for the vendor and returns its address."""
    if refused := sorted(set(request.params) - set(model.params)):
        raise InvalidInputError(
            f"{', '.join(refused)}: not to be set; this model takes {sorted(model.params)}."
        )
    values = sources_of(request, model)
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
    return found | request.params


def sources_of(request: GenerationRequest, model: ReplicateModel) -> dict[str, Any]:
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
        size = {"width": request.width, "height": request.height}
        return size | {
            "prompt": request.prompt,
            "image": request.image,
            "aspect_ratio": ratio_of(request.width, request.height),
            "duration_s": seconds_of(request.duration_ms, model.durations),
            "fps": request.fps,
            "movement": request.movement,
        }
    if isinstance(request, MusicRequest):
        return {
            "prompt": request.prompt or f"{request.mood} instrumental film music, {request.tempo_bpm} bpm",
            "duration_s": seconds_of(request.duration_ms, model.durations),
            "seed": request.seed,
            "mood": request.mood,
            "tempo_bpm": request.tempo_bpm,
        }
    raise InvalidInputError(f"Replicate cannot take a {type(request).__name__}.")


def _picture(request: ImageRequest | ImageEditRequest) -> dict[str, Any]:
    return {
        "prompt": request.prompt or None,
        "seed": request.seed,
        "width": request.width,
        "height": request.height,
        "aspect_ratio": ratio_of(request.width, request.height),
    }


def seconds_of(duration_ms: int, offered: Sequence[int]) -> int:
    """Return whole seconds, the shortest offered length that is long enough, else the longest."""
    wanted = max(1, -(-duration_ms // 1000))
    return min((length for length in offered if length >= wanted), default=max(offered, default=wanted))


def ratio_of(width: int, height: int) -> str:
    """Return the nearest of the usual aspect ratios, by proportion."""

    def distance(ratio: str) -> float:
        across, down = map(int, ratio.split(":"))
        return max(width * down / (height * across), height * across / (width * down))

    return min(RATIOS, key=distance)
