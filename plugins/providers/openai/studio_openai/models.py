"""OpenAI's words, declared once, and what a request's `params` may hold: nothing that is not named here is sent."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, ValidationError

from studio import Fault, ProviderRejectedError, VendorTable
from studio_openai.completions import Believed, Count, Wire

P = TypeVar("P", bound="Params")
_PROMPT = Fault("content_policy_violation", input="prompt")
_IMAGE = Fault("image_refused", input="image")
_AGAIN = Fault("provider_failed", retryable=True)

TABLE = VendorTable(
    vendor="OpenAI",
    states={
        "queued": "running",
        "in_progress": "running",
        "completed": "succeeded",
        "incomplete": "succeeded",  # what there is of it; what was withheld is told by its reason
        "failed": "failed",
        "cancelled": "cancelled",
    },
    errors={
        "insufficient_quota": Fault("provider_quota_exceeded"),
        "billing_hard_limit_reached": Fault("provider_quota_exceeded"),
        "invalid_api_key": Fault("provider_key_refused"),
        "rate_limit_exceeded": Fault("provider_rate_limited", retryable=True),
        "model_not_found": Fault("model_not_found", input="model"),
        "context_length_exceeded": Fault("text_too_long", input="prompt"),
        "string_above_max_length": Fault("text_too_long"),
        "moderation_blocked": _PROMPT,
        "content_policy_violation": _PROMPT,
        "content_filter": _PROMPT,
        "invalid_prompt": _PROMPT,
        "bio_policy": _PROMPT,
        "image_content_policy_violation": Fault("content_policy_violation", input="image"),
        "invalid_image": _IMAGE,
        "invalid_image_format": _IMAGE,
        "invalid_image_mode": _IMAGE,
        "invalid_image_url": _IMAGE,
        "invalid_base64_image": _IMAGE,
        "image_too_large": _IMAGE,
        "image_too_small": _IMAGE,
        "image_parse_error": _IMAGE,
        "image_file_too_large": _IMAGE,
        "image_file_not_found": _IMAGE,
        "unsupported_image_media_type": _IMAGE,
        "empty_image_file": _IMAGE,
        "failed_to_download_image": _IMAGE,
        "server_error": _AGAIN,
        "vector_store_timeout": _AGAIN,
        "data_residency_mismatch": Fault("provider_rejected"),
        408: Fault("provider_timeout", retryable=True),
        409: Fault("provider_busy", retryable=True),
        429: Fault("provider_rate_limited", retryable=True),
    },
)


def words_of(body: object) -> tuple[tuple[object, ...], str]:
    """Return the words and the message of an error body: `{"error": {message, type, param, code}}`."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return (), ""
    return (error.get("code"), error.get("type")), str(error.get("message") or "")


class Params(BaseModel):
    """What a caller may set beside the contract's own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def given(self) -> dict[str, Any]:
        """Return only what was set."""
        return self.model_dump(exclude_unset=True, exclude_none=True)


class ChatParams(Params):
    """For `/chat/completions`."""

    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None


class ResponseParams(ChatParams):
    """For `/responses`; `background` asks for a job at the vendor."""

    background: bool | None = None


class ImageParams(Params):
    """For `/images/generations`."""

    quality: Literal["low", "medium", "high", "auto"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    moderation: Literal["low", "auto"] | None = None


class EditParams(Params):
    """For `/images/edits`."""

    quality: Literal["low", "medium", "high", "auto"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    input_fidelity: Literal["high", "low"] | None = None


class VoiceParams(Params):
    """For `/audio/speech`."""

    instructions: Annotated[str, StringConstraints(max_length=4096)] | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav"] | None = None


def params_of(model: type[P], params: dict[str, Any]) -> P:
    """Check a request's `params`; raises ProviderRejectedError naming the first that is wrong."""
    try:
        return model.model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise ProviderRejectedError(f"params.{name}: {first['msg']}.", input="params") from error


class ImageUsage(Wire):
    """Tokens of a picture and of its prompt."""

    input_tokens: Count = 0
    output_tokens: Count = 0


class Picture(Wire):
    """One picture; GPT image models always send base64."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class Pictures(Wire):
    """The answer of `/images/generations` and `/images/edits`."""

    data: tuple[Picture, ...] = Field(min_length=1)
    size: str | None = None
    usage: Believed[ImageUsage] = None


class Judgement(Wire):
    """What the vendor thinks of one input; a category of an older model may be null."""

    flagged: StrictBool
    categories: dict[str, StrictBool | None]
    category_scores: dict[str, Believed[Annotated[float, Field(ge=0, le=1)]]] = Field(default_factory=dict)


class Judgements(Wire):
    """The answer of `/moderations`: one for all that was sent."""

    id: str | None = None
    results: tuple[Judgement, ...] = Field(min_length=1)


class VideoTrouble(Wire):
    """Why a video failed."""

    code: str | None = None
    message: str | None = None


class Video(Wire):
    """A video job in any of its states."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,200}$")]
    status: str
    progress: Believed[Annotated[float, Field(ge=0, le=100)]] = None
    seconds: Believed[Annotated[float, Field(gt=0, le=86_400)]] = None
    """A string on the wire: "8"."""
    error: VideoTrouble | None = None


class EventData(Wire):
    """What an event is about."""

    id: str | None = None


class WebhookEvent(Wire):
    """A call of the vendor: `response.completed` and others."""

    type: str
    created_at: int | None = None
    data: EventData = EventData()
