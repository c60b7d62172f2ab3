"""What fal's queue and models say and what it means. Source: docs.fal.ai, queue, errors, webhooks."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio import (
    Fault,
    GenerationError,
    MediaFile,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    VendorTable,
)
from studio_jobvendor.api import MEDIA, Places, plain_mime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from studio import HttpAnswer, StudioError
    from studio_fal.settings import FalModel, FalSettings

_AGAIN = (
    "request_timeout", "startup_timeout", "runner_scheduling_failure", "runner_connection_timeout",
    "runner_disconnected", "runner_connection_refused", "runner_connection_error", "runner_incomplete_response",
    "runner_server_error", "internal_error", "internal_server_error", "generation_timeout",
    "downstream_service_unavailable",
)  # fmt: skip
_IMAGE = (
    "image_too_large", "image_too_small", "image_load_error", "unsupported_image_format", "file_download_error",
    "file_too_large", "face_detection_error",
)  # fmt: skip
TABLE = VendorTable(
    vendor="fal",
    states={
        "IN_QUEUE": "running",
        "IN_PROGRESS": "running",
        "COMPLETED": "succeeded",
    },
    errors={
        **{word: Fault("provider_failed", retryable=True) for word in _AGAIN},
        **{word: Fault("image_refused", input="image") for word in _IMAGE},
        "content_policy_violation": Fault("content_policy_violation", input="prompt"),
        "client_cancelled": Fault("cancelled"),
        "client_disconnected": Fault("cancelled"),
        "no_output": Fault("no_output"),
        "no_media_generated": Fault("no_output"),
        "foreign_output": Fault("output_refused"),
        "bad_request": Fault("invalid_input"),
        404: Fault("unknown_job_or_model"),
        413: Fault("input_too_large"),
        422: Fault("invalid_input"),
        500: Fault("provider_failed", retryable=True),
        502: Fault("provider_failed", retryable=True),
        503: Fault("provider_failed", retryable=True),
        504: Fault("provider_failed", retryable=True),
    },
)
"""COMPLETED still has to be looked into; errors go by `error_type`, by `detail[].type`, or by HTTP status."""
_DEFAULT_MIME = {"image": "image/png", "image_edit": "image/png", "video": "video/mp4", "music": "audio/wav"}
_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_APP = r"[a-z0-9][\w-]*(?:/[a-z0-9][\w.-]*){1,3}"
_REQUEST = r"[A-Za-z0-9_-]{1,64}"
_JOB = re.compile(rf"({_NAME})\|({_APP})\|({_REQUEST})", re.ASCII)
_PATH = re.compile(rf"/({_APP})/requests/({_REQUEST})/status", re.ASCII)
NAMESPACES = ("workflows", "comfy")
DEPTH = 3
LARGEST = 100_000
"""Pixels that a side may have; a model that tells more is not believed."""


class Submitted(BaseModel):
    """The answer to a submit: the addresses to use from now on."""

    model_config = ConfigDict(extra="ignore")

    request_id: str = Field(pattern=rf"^{_REQUEST}$")
    status_url: str


class Status(BaseModel):
    """The state of a request in the queue."""

    model_config = ConfigDict(extra="ignore")

    status: str
    error: Any = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class JobId:
    """All that a poll needs after a restart: the model's name here, the app there, and the request's id.

    The app is what is left of the endpoint in the addresses of a request: `fal-ai/flux` for `fal-ai/flux/dev`.
    """

    name: str
    app: str
    request_id: str

    def __str__(self) -> str:
        return f"{self.name}|{self.app}|{self.request_id}"

    @property
    def path(self) -> str:
        """Return the path of the request, below the queue's own address."""
        return f"/{self.app}/requests/{self.request_id}"


def job_of(provider_job_id: str) -> JobId:
    """Read a job's id; raises ProviderRejectedError for what is none of fal's."""
    found = _JOB.fullmatch(provider_job_id)
    if found is None:
        raise ProviderRejectedError("This is no id of fal's.", code="unknown_job_or_model")
    return JobId(*found.groups())


def job_from(name: str, raw: dict[str, Any], queue_url: str) -> JobId:
    """Read a submit's answer; raises OutcomeUnknownError where it leads to another host, or nowhere."""
    try:
        made = Submitted.model_validate(raw)
        parts = urlsplit(made.status_url)
    except ValueError as error:
        raise OutcomeUnknownError("fal took the request without saying where it is.") from error
    found = _PATH.fullmatch(parts.path)
    if f"{parts.scheme}://{parts.netloc}" != queue_url or found is None or found[2] != made.request_id:
        raise OutcomeUnknownError("fal took the request and names an address that is not its queue's.")
    return JobId(name, found[1], made.request_id)


def app_of(endpoint: str) -> str:
    """Return the app that an endpoint belongs to, as the vendor's own clients do it."""
    parts = endpoint.split("/")
    return "/".join(parts[: 3 if parts[0] in NAMESPACES else 2])


def read_status(raw: dict[str, Any]) -> Status:
    """Read a request's state; raises ProviderError."""
    try:
        return Status.model_validate(raw)
    except ValidationError as error:
        raise ProviderError("fal's answer is no state.", code="provider_bad_answer") from error


def cost_of(model: FalModel | None, units: str | None) -> int | None:
    """Return micro-USD, rounded up, from the header `x-fal-billable-units` and the configured price; else None."""
    if (
        model is None
        or model.unit_price_uusd is None
        or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", units or "")
    ):
        return None
    whole, _, part = (units or "").partition(".")
    scaled = int(whole) * 10**9 + int(part.ljust(9, "0"))
    return -(-scaled * model.unit_price_uusd // 10**9)


# ---------------------------------------------------------------- failures


def failure_of(body: Any, model: FalModel | None, *words: object) -> GenerationError:
    """Return what an error body says: `detail` is a list of fields, or a text beside `error_type`."""
    detail = body.get("detail") if isinstance(body, dict) else None
    kind = body.get("error_type") if isinstance(body, dict) else None
    if isinstance(detail, list):
        return _fields([row for row in detail if isinstance(row, dict)], model, *words)
    return TABLE.failure(kind, *words, message=str(detail or ""))


def _fields(rows: list[dict[str, Any]], model: FalModel | None, *words: object) -> GenerationError:
    kinds = [row.get("type") for row in rows]
    where = [".".join(map(str, loc[1:])) for row in rows if isinstance(loc := row.get("loc"), list)]
    told = "; ".join(f"{place}: {row.get('msg', '')}" for place, row in zip(where, rows, strict=False))
    failure = TABLE.failure(*kinds, *words, message=told)
    named = next((place.partition(".")[0] for place in where if place), None)
    back = {target: source for source, target in (model.fields if model else {}).items()}
    return failure.model_copy(update={"input": back.get(named or "", named) or failure.input})


def refusal(answer: HttpAnswer, model: FalModel | None = None) -> StudioError:
    """Return the error of an answer that is none, to be raised."""
    try:
        body = answer.json()
    except ProviderError:
        body = None
    failure = failure_of(body, model, answer.headers.get("x-fal-error-type"), answer.status)
    error = TABLE.refusal(answer, message=failure.message)
    if failure.code != "provider_failed":
        error.code = failure.code
    error.extra["input"] = failure.input
    return error


# ---------------------------------------------------------------- results


class Reader:
    """Finds the files of a result."""

    def __init__(self, settings: FalSettings) -> None:
        self._places = Places(settings)

    def files(
        self, result: Any, model: FalModel | None, capability: str
    ) -> tuple[MediaFile, ...] | GenerationError:
        """Return the files of the right kind, or why there are none.

        A picture that the model's own filter has blacked out comes as a success: `has_nsfw_concepts` tells.
        """
        capability = model.capability if model else capability
        fallback = (model.mime if model else "") or _DEFAULT_MIME[capability]
        listed = [one for one in files_in(result) if isinstance(one["url"], str)]
        flags = result.get("has_nsfw_concepts") if isinstance(result, dict) else None
        if listed and isinstance(flags, list) and flags and all(flag is True for flag in flags):
            return TABLE.failure(
                "content_policy_violation", message="The model's filter has blacked the picture out."
            )
        allowed = [one for one in listed if self._places.allows(one["url"])]
        files = [media_of(one, fallback) for one in allowed]
        fitting = tuple(file for file in files if file.mime.startswith(MEDIA[capability]))
        if fitting:
            return fitting
        foreign = len(allowed) < len(listed)
        why = (
            "The result lies on a host that output_hosts does not name."
            if foreign
            else "fal reports success without a file of this kind."
        )
        return TABLE.failure("foreign_output" if foreign else "no_output", message=why)


def files_in(result: Any, depth: int = DEPTH) -> Iterator[dict[str, Any]]:
    """Yield every object that has a `url`: `images[]`, `image`, `video`, `audio`, `audio_file`."""
    if isinstance(result, dict) and "url" in result:
        yield result
    elif depth and isinstance(result, dict | list):
        for part in result.values() if isinstance(result, dict) else result:
            yield from files_in(part, depth - 1)


def media_of(found: dict[str, Any], fallback: str) -> MediaFile:
    """Return one file of a result; sizes in pixels where the model tells them."""
    told = found.get("content_type")
    guessed = mimetypes.guess_type(urlsplit(found["url"]).path, strict=False)[0]
    known = isinstance(told, str) and re.fullmatch(r"(image|video|audio)/[\w.+-]+", told)
    sizes = {key: found.get(key) for key in ("width", "height")}
    sizes = {key: value for key, value in sizes.items() if type(value) is int and 0 < value <= LARGEST}
    mime = plain_mime(str(told) if known else guessed or fallback)
    return MediaFile(mime=mime, url=found["url"], **sizes)
