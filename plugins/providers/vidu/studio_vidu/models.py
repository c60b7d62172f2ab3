"""What goes to Vidu, what comes back, and what its words mean. Source: platform.vidu.com/docs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from studio import (
    Fault,
    Generation,
    InvalidInputError,
    MediaFile,
    ModelSpec,
    ProviderError,
    ProviderRejectedError,
    VendorTable,
)
from studio_jobvendor.api import Places, extras_of, ratio_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from studio import VideoRequest
    from studio_jobvendor.api import ClipRequest
    from studio_vidu.settings import ViduSettings

TABLE = VendorTable(
    vendor="Vidu",
    states={
        "created": "running",
        "queueing": "running",
        "scheduled": "running",
        "processing": "running",
        "success": "succeeded",
        "failed": "failed",
    },
    errors={
        "BadRequest": Fault("invalid_input"),
        "FieldLacking": Fault("invalid_input"),
        "FieldUnwanted": Fault("invalid_input"),
        "FieldItemCountOutOfRange": Fault("invalid_input"),
        "FieldInvalid": Fault("invalid_input"),
        "PageSizeOutOfRange": Fault("image_refused", input="image"),
        "ImageDownloadFailure": Fault("image_refused", input="image"),
        "ImageFormatInvalid": Fault("image_refused", input="image"),
        "ImageCheckBodyJointsFailed": Fault("image_refused", input="image"),
        "ImageCheckFaceFailed": Fault("image_refused", input="image"),
        "ImageObjectsUndetected": Fault("image_refused", input="image"),
        "AuditSubmitIllegal": Fault("content_policy_violation", input="prompt"),
        "TaskPromptPolicyViolation": Fault("content_policy_violation", input="prompt"),
        "CreationPolicyViolation": Fault("content_policy_violation"),
        "CreditInsufficient": Fault("provider_credit_used_up"),
        "ModelUnavailable": Fault("model_unavailable"),
        "UserCancelled": Fault("cancelled"),
        "Canceled": Fault("cancelled"),
        "TaskNotFound": Fault("unknown_job"),
        "CreationNotFound": Fault("unknown_job"),
        "NotFound": Fault("unknown_job"),
        "Conflict": Fault("provider_conflict"),
        "OperationInProcess": Fault("provider_busy", retryable=True),
        "QuotaExceeded": Fault("provider_rate_limited", retryable=True),
        "TooManyRequests": Fault("provider_rate_limited", retryable=True),
        "SystemThrottling": Fault("provider_rate_limited", retryable=True),
        "InternalServiceFailure": Fault("provider_failed", retryable=True),
        "no_output": Fault("no_output"),
        "foreign_output": Fault("output_refused"),
        404: Fault("unknown_job"),
        413: Fault("image_refused", input="image"),
        422: Fault("invalid_input"),
    },
)
"""The same names stand in the `reason` of an HTTP error and in the `err_code` of a task."""
RATIOS = ("16:9", "9:16", "1:1", "3:4", "4:3")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
TASK = r"[A-Za-z0-9_-]{1,64}"


@dataclass(frozen=True, slots=True)
class Family:
    """What the models of one generation can do: seconds, and lines of the picture."""

    seconds: Sequence[int]
    lines: Sequence[int]
    ratios: Sequence[str] = RATIOS


FAMILIES = {
    "viduq3": Family(range(1, 17), (540, 720, 1080)),
    "viduq2": Family(range(1, 11), (540, 720, 1080)),
    "viduq1": Family((5,), (1080,), RATIOS[:3]),
    "vidu2.0": Family((4, 8), (360, 720, 1080), RATIOS[:3]),
}


def family_of(model: str) -> Family:
    """Return what a model can do, by the beginning of its name, which the settings have checked."""
    return next(family for prefix, family in FAMILIES.items() if model.startswith(prefix))


MODES = ("img2video", "text2video", "start-end2video", "reference2video")
"""The paths of the calls that create a task. Source: platform.vidu.com/docs, one page each."""
REFERENCES = 7


class ViduParams(BaseModel):
    """What `VideoRequest.params` may hold: nothing else reaches the vendor."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    mode: Literal["img2video", "text2video"] = "img2video"
    """`text2video` leaves the picture out."""
    seed: int | None = Field(None, ge=0, le=2_147_483_647)
    resolution: Literal["360p", "540p", "720p", "1080p"] | None = None
    movement_amplitude: Literal["auto", "small", "medium", "large"] | None = None
    style: Literal["general", "anime"] | None = None
    bgm: bool | None = None
    audio: bool | None = None
    off_peak: bool | None = None


def params_of(request: VideoRequest) -> ViduParams:
    """Check `request.params`; raises InvalidInputError naming what is wrong."""
    try:
        return ViduParams.model_validate(request.params)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidInputError(f"These params cannot be used: {told}.") from error


def mode_of(request: VideoRequest, params: ViduParams) -> tuple[str, tuple[Path, ...]]:
    """Return which call creates the task, and the pictures that it takes.

    Raises ProviderRejectedError for parts that do not go together, InvalidInputError for a prompt that is missing.
    """
    extras = extras_of(request)
    if not extras:
        return params.mode, (request.image,) if params.mode == "img2video" else ()
    if len(extras) > 1 or "video" in extras or params.mode == "text2video":
        raise ProviderRejectedError(
            f"Vidu makes no video from {' and '.join(sorted(extras))} by {params.mode}.",
            code="operation_not_offered", input=min(extras),
        )  # fmt: skip
    clip = cast("ClipRequest", request)
    if clip.last_image is not None:
        return "start-end2video", (clip.image, clip.last_image)
    if len(clip.references) > REFERENCES:
        raise ProviderRejectedError(f"Vidu takes up to {REFERENCES} references.", input="references")
    if not clip.prompt:
        raise InvalidInputError("A video from references needs a prompt.")
    return "reference2video", clip.references


def model_of(settings: ViduSettings, request: VideoRequest) -> str:
    """Return the model to use; raises InvalidInputError for one that is not offered."""
    if request.model is not None and request.model not in settings.models:
        raise InvalidInputError(
            f"Vidu has no model {request.model!r}; choose from {sorted(settings.models)}."
        )
    return request.model or settings.models[0]


def body_of(request: VideoRequest, model: str, params: ViduParams, mode: str) -> dict[str, Any]:
    """Return the body of a create call, without pictures; `payload` comes back with every answer."""
    family = family_of(model)
    body: dict[str, Any] = {
        "model": model,
        "duration": seconds_of(request.duration_ms, family),
        "resolution": f"{lines_of(request, family)}p",
        "payload": request.job_id,
    }
    if request.prompt:
        body["prompt"] = request.prompt
    if mode in ("text2video", "reference2video"):  # else the picture has one
        body["aspect_ratio"] = ratio_of(request.width, request.height, family.ratios)
    if request.callback_url and request.callback_url.startswith("https://"):
        body["callback_url"] = request.callback_url
    return body | params.model_dump(exclude_none=True, exclude={"mode"})


def seconds_of(duration_ms: int, family: Family) -> int:
    """Return the shortest length that is long enough, else the longest."""
    wanted = -(-duration_ms // 1000)
    return min((length for length in family.seconds if length >= wanted), default=max(family.seconds))


def lines_of(request: VideoRequest, family: Family) -> int:
    """Return the smallest picture that is large enough, else the largest."""
    wanted = min(request.width, request.height)
    return min((lines for lines in family.lines if lines >= wanted), default=max(family.lines))


def specs_of(settings: ViduSettings) -> tuple[ModelSpec, ...]:
    """Return what is offered; a price per second is known where credits and their price are."""
    return tuple(_spec(settings, name) for name in settings.models)


def _spec(settings: ViduSettings, name: str) -> ModelSpec:
    price = price_per_s(settings, name)
    limits = {"duration_s": max(family_of(name).seconds)}
    kind: Literal["per_second", "unknown"] = "unknown" if price is None else "per_second"
    return ModelSpec(name, kind, price, limits=limits, formats=("video/mp4",))


def price_per_s(settings: ViduSettings, model: str) -> int | None:
    """Return micro-USD for one second; None when credits or their price are not configured."""
    credits_s = settings.credits_per_s.get(model)
    return None if credits_s is None or settings.credit_uusd is None else credits_s * settings.credit_uusd


# ---------------------------------------------------------------- answers


class Creation(BaseModel):
    """One finished video; its addresses live for a day."""

    model_config = ConfigDict(extra="ignore")

    url: Any = None
    cover_url: Any = None


class Task(BaseModel):
    """A task as it is created and asked for."""

    model_config = ConfigDict(extra="ignore")

    state: str
    err_code: str | None = None
    credits: int | None = Field(None, ge=0, le=1_000_000_000)
    creations: list[Creation] = []

    @field_validator("creations", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return [] if value is None else value


def task_id_of(raw: dict[str, Any]) -> str | None:
    """Return the id of a task: `task_id` where it is created, `id` where it is asked for."""
    found = raw.get("task_id") or raw.get("id")
    found = str(found) if isinstance(found, int) and not isinstance(found, bool) else found
    return found if isinstance(found, str) and re.fullmatch(TASK, found, re.ASCII) else None


def checked(task_id: str) -> str:
    """Return an id that can be part of a path; raises ProviderRejectedError."""
    if not re.fullmatch(TASK, task_id, re.ASCII):
        raise ProviderRejectedError("This is no id of Vidu's.", code="unknown_job")
    return task_id


def generation_of(task_id: str, raw: dict[str, Any], settings: ViduSettings) -> Generation:
    """Return what a task means; raises ProviderError for what is none, or a state that the table lacks.

    A task that failed gets its credits back: its cost is not known from here. One that succeeded is charged, also where
    its files cannot be used.
    """
    try:
        task = Task.model_validate(raw)
    except ValidationError as error:
        raise ProviderError("Vidu's answer is no task.", code="provider_bad_answer") from error
    state = TABLE.state(task.state)
    if state == "running":
        return Generation(provider_job_id=task_id)
    if state == "failed":
        return _failed(task_id, task.err_code)
    urls = [creation.url for creation in task.creations if isinstance(creation.url, str) and creation.url]
    allowed = [url for url in urls if Places(settings).allows(url)]
    cost = (
        None if task.credits is None or settings.credit_uusd is None else task.credits * settings.credit_uusd
    )
    if not allowed:
        lost = _failed(task_id, "foreign_output" if urls else "no_output")
        used = {"calls": 1} if task.credits is None else {"credits": task.credits}
        return lost.model_copy(update={"cost_uusd": cost, "cost_source": "computed", "usage": used})
    return Generation(
        provider_job_id=task_id,
        state="succeeded",
        files=tuple(MediaFile(mime="video/mp4", url=url) for url in allowed),
        cost_uusd=cost,
        cost_source="computed",
        usage={} if task.credits is None else {"credits": task.credits},
    )


_WHY = {
    "foreign_output": "The result lies on a host that output_hosts does not name.",
    "no_output": "Vidu reports success without a video.",
}


def _failed(task_id: str, word: str | None) -> Generation:
    error = TABLE.failure(word, message=_WHY.get(word or "", word or ""))
    state: Literal["failed", "cancelled"] = "cancelled" if error.code == "cancelled" else "failed"
    return Generation(provider_job_id=task_id, state=state, error=error)
