"""What a prediction says and what it means. Source: Replicate HTTP API, the prediction object."""

from __future__ import annotations

import mimetypes
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio import Fault, Generation, GenerationError, MediaFile, ProviderError, VendorTable
from studio_jobvendor.api import MEDIA, Places, plain_mime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from studio_replicate.settings import ReplicateModel, ReplicateSettings

TABLE = VendorTable(
    vendor="Replicate",
    states={
        "starting": "running",
        "processing": "running",
        "succeeded": "succeeded",
        "failed": "failed",
        "canceled": "cancelled",
        "aborted": "cancelled",
    },
    errors={
        "flagged": Fault("content_policy_violation", input="prompt"),
        "interrupted": Fault("provider_interrupted", retryable=True),
        "E1000": Fault("provider_failed", retryable=True),
        "E1001": Fault("provider_out_of_memory"),
        "E6716": Fault("provider_start_timeout", retryable=True),
        "data_removed": Fault("output_expired"),
        "no_output": Fault("no_output"),
        "foreign_output": Fault("output_refused"),
        404: Fault("unknown_job_or_model"),
        413: Fault("input_too_large"),
        422: Fault("invalid_input"),
    },
)
"""Errors by the code in the text, by a word of ours for texts without one, or by HTTP status."""
_CODES = re.compile(r"\b(E\d{4})\b")
_FLAGGED = re.compile(r"nsfw|flagged as sensitive|sensitive content|safety (checker|filter)", re.IGNORECASE)
_INTERRUPTED = re.compile(r"interrupted|please retry|code: PA\b", re.IGNORECASE)
_DEFAULT_MIME = {"image": "image/png", "image_edit": "image/png", "video": "video/mp4", "music": "audio/mpeg"}
DEPTH = 3
"""How deep addresses lie in an output: an object of lists at most."""


class Metrics(BaseModel):
    """Seconds that the machine worked."""

    model_config = ConfigDict(extra="ignore")

    predict_time: float | None = Field(None, ge=0, le=1e7, allow_inf_nan=False)


class Prediction(BaseModel):
    """What we read of a prediction."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(pattern=r"^[A-Za-z0-9]{1,64}$")
    status: str
    model: str | None = None
    version: str | None = None
    deployment: str | None = None
    output: Any = None
    error: Any = None
    data_removed: bool = False
    metrics: Metrics | None = None
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None


def read_prediction(raw: Any) -> Prediction:
    """Return a prediction; raises ProviderError (`provider_bad_answer`)."""
    try:
        return Prediction.model_validate(raw)
    except ValidationError as error:
        raise ProviderError("Replicate's answer is no prediction.", code="provider_bad_answer") from error


class Reader:
    """Turns predictions into generations. `capability` counts for models that are not configured any more."""

    def __init__(self, settings: ReplicateSettings, capability: str) -> None:
        self._settings, self._capability = settings, capability
        self._places = Places(settings)

    def generation(self, prediction: Prediction) -> Generation:
        """Return what a prediction means; raises ProviderError for a state that the table lacks."""
        state = TABLE.state(prediction.status)
        model = self._model(prediction)
        seconds = prediction.metrics.predict_time if prediction.metrics else None
        base = Generation(
            provider_job_id=prediction.id,
            state=state,
            cost_uusd=cost_of(model, seconds) if state != "running" else None,
            cost_source="computed",
        )
        if state == "failed":
            return base.model_copy(update={"error": failure_of(prediction.error)})
        if state != "succeeded":
            return base
        files, word = self._files(prediction, model)
        if word is not None:
            error = TABLE.failure(word, message=_WHY[word])
            paid = {"calls": 1}  # it has worked, and is charged
            return base.model_copy(update={"state": "failed", "error": error, "usage": paid})
        usage = {"calls": 1} | ({"images": len(files)} if files[0].mime.startswith("image/") else {})
        return base.model_copy(update={"files": files, "usage": usage})

    def knows(self, prediction: Prediction) -> bool:
        """Say whether the configuration tells what a prediction makes: a webhook is read by any capability."""
        return len({model.capability for model in self._models(prediction)}) == 1

    def _models(self, prediction: Prediction) -> list[ReplicateModel]:
        whole = f"{prediction.model}:{prediction.version}"
        ids = {prediction.model, prediction.version, whole, f"deployments/{prediction.deployment}"}
        return [model for model in self._settings.models.values() if model.model in ids]

    def _model(self, prediction: Prediction) -> ReplicateModel | None:
        found = self._models(prediction)
        same = [model for model in found if model.capability == self._capability]
        return next(iter(same or found), None)

    def _files(
        self, prediction: Prediction, model: ReplicateModel | None
    ) -> tuple[tuple[MediaFile, ...], str | None]:
        capability = model.capability if model else self._capability
        fallback = (model.mime if model else "") or _DEFAULT_MIME[capability]
        if prediction.data_removed and prediction.output is None:
            return (), "data_removed"
        urls = list(dict.fromkeys(addresses(prediction.output)))
        allowed = [url for url in urls if self._places.allows(url)]
        files = [MediaFile(mime=mime_of(url, fallback), url=url) for url in allowed]
        fitting = tuple(file for file in files if file.mime.startswith(MEDIA[capability]))
        if fitting:
            return fitting, None
        return (), "foreign_output" if len(allowed) < len(urls) else "no_output"


_WHY = {
    "data_removed": "The result was removed before it was fetched: Replicate keeps it for an hour.",
    "no_output": "Replicate reports success without a file of this kind.",
    "foreign_output": "The result lies on a host that output_hosts does not name.",
}


def addresses(output: Any, depth: int = DEPTH) -> Iterator[str]:
    """Yield every address of an output: one string, a list, or an object whose values are these."""
    if isinstance(output, str):
        if re.match(r"https?://", output):
            yield output
    elif depth and isinstance(output, list | dict):
        for part in output if isinstance(output, list) else output.values():
            yield from addresses(part, depth - 1)


def mime_of(url: str, fallback: str) -> str:
    """Return the media type that the address ends in."""
    return plain_mime(mimetypes.guess_type(urlsplit(url).path, strict=False)[0] or fallback)


def failure_of(error: Any) -> GenerationError:
    """Return what a failed prediction's `error` says: a text, sometimes with a code in it."""
    text = error if isinstance(error, str) else ""
    words = _CODES.findall(text)
    if _FLAGGED.search(text):
        words = ["flagged", *words]
    if _INTERRUPTED.search(text):
        words = [*words, "interrupted"]
    return TABLE.failure(*words, message=text)


def cost_of(model: ReplicateModel | None, seconds: float | None) -> int | None:
    """Return micro-USD, rounded up, where a model is billed by the second of the machine; else None."""
    if model is None or seconds is None or model.price_kind != "per_predict_second":
        return None
    return -(-round(seconds * 1000) * (model.unit_price_uusd or 0) // 1000)


def happened_ms(prediction: Prediction) -> int | None:
    """Return when the state was reached, UTC ms."""
    moment = prediction.completed_at or prediction.started_at or prediction.created_at
    try:
        at = datetime.fromisoformat(moment or "")
        return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
