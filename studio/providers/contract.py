"""The provider contract: one shape of submit, poll and cancel for every medium.

A provider is registered as a `ProviderSpec` whose `target` is a `"package.module:Class"` string, imported at first
use. The class is constructed with one argument, the plugin's `PluginContext`. Files travel as local paths: the
caller makes inputs readable before `submit`, and copies an output to storage before a job succeeds.
Lengths are milliseconds, sizes are bytes or pixels, money is integer micro-USD.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from studio.providers.requests import ChatDelta, ChatRequest, VoiceInfo

Capability = str
"""image, image_edit, video, voice, music, chat, breakdown, film, score, storage, mail, issue_tracker, pipeline.

A plugin may ask for its own: thumbnail (`studio_previews.api`), moderation, provenance.
"""


Count = Annotated[int, Field(ge=0, le=10**15)]
"""What a vendor may count or charge (micro-USD): less than nothing would fill a budget up again."""


class ProviderModel(BaseModel):
    """A value handed to or returned by a provider: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


# ---------------------------------------------------------------- declarations


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of a provider and its declared price.

    `price_kind` says how `unit_price_uusd` counts; "unknown" stays unknown and is never guessed.
    "per_1m_tokens" counts input tokens, `output_price_uusd` is for the tokens of the answer.
    """

    name: str
    price_kind: Literal[
        "free", "per_call", "per_image", "per_second", "per_1k_characters", "per_1m_tokens", "unknown"
    ] = "unknown"
    unit_price_uusd: int | None = None
    output_price_uusd: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    formats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """A declaration that costs nothing until it is used: `target` is "package.module:Class"."""

    name: str
    capability: Capability
    target: str
    models: tuple[ModelSpec, ...] = ()
    """The first is the one that a request without a model gets."""
    priority: int = 100
    """Lower comes first when the caller names no provider."""
    missing: str | None = None
    """Why this provider is off, e.g. "set STUDIO_ELEVENLABS__API_KEY"; None when it is on."""
    deadline_s: float = 60.0
    """Total time one call of this provider may take."""
    webhooks: bool = False
    """It can call back: requests carry `callback_url`, and its class offers `parse_webhook`."""
    file_hosts: tuple[str, ...] = ()
    """Where its `MediaFile.url`s lie, "cdn.example.com" or "*.example.com"; a file anywhere else is not fetched."""
    idempotent_submit: bool = False
    """Submitting the same `job_id` twice starts the work once and costs nothing: a lost submit may be repeated."""

    def __post_init__(self) -> None:
        """Raise TypeError for what would break everybody who lists the providers, or the first call."""
        if ":" not in str(self.target) or not all(isinstance(model, ModelSpec) for model in self.models):
            raise TypeError(f'target is "package.module:Class", models are ModelSpec objects: {self.name}')


# ---------------------------------------------------------------- answers


class WordTiming(ProviderModel):
    """One spoken word; times in ms from the start of the line, `end_ms` exclusive."""

    text: str
    start_ms: int
    end_ms: int


class MediaFile(ProviderModel):
    """A finished output. Exactly one of `path` (a local file) and `url` (a vendor's, short-lived) is set."""

    mime: str
    path: Path | None = None
    url: str | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    words: tuple[WordTiming, ...] = ()
    """Voices only: when each word is spoken, relative to the start of the file."""
    meta: dict[str, Any] = {}


class GenerationError(ProviderModel):
    """Why a generation failed; `input` names the refused part (prompt, image, voice…)."""

    code: str
    message: str
    retryable: bool = False
    input: str | None = None


class Generation(ProviderModel):
    """The state of one generation at the provider, as `submit` and `poll` report it."""

    provider_job_id: str
    state: Literal["running", "succeeded", "failed", "cancelled"] = "running"
    percent: int | None = None
    files: tuple[MediaFile, ...] = ()
    data: dict[str, Any] = {}
    """Outputs that are no file: a breakdown, a score, a text."""
    error: GenerationError | None = None
    cost_uusd: Count | None = None
    """What it cost, as far as the provider knows; None where only its usage is known."""
    cost_source: Literal["reported", "computed"] = "reported"
    """Who says so: the vendor ("reported"), or the plugin, from the vendor's units and a configured price."""
    usage: dict[str, Count] = {}
    """What was used, by unit: images, seconds, characters, input_tokens, output_tokens, credits."""
    retry_after_s: float | None = None
    """When to poll again, if the vendor says so."""


class Estimate(ProviderModel):
    """What a request would cost. `cost_uusd` None means unknown, which is not the same as free."""

    cost_uusd: int | None
    note: str = ""


# ---------------------------------------------------------------- protocols


class Generator(Protocol):
    """What every generating provider does, whatever its medium.

    `submit` must be called at most once per job attempt; `poll` may be called any number of times, also from another
    process after a restart. `poll` of an id that this provider cannot know raises `ProviderRejectedError`.
    """

    async def submit(self, request: Any) -> Generation:
        """Start the work. May answer `succeeded` at once."""
        ...

    async def poll(self, provider_job_id: str) -> Generation:
        """Report the state of a generation started earlier."""
        ...

    async def cancel(self, provider_job_id: str) -> bool:
        """Ask the vendor to stop; False when it cannot any more."""
        ...

    def estimate(self, request: Any) -> Estimate:
        """Say what `request` would cost, without a call."""
        ...


class ImageGenerator(Generator, Protocol):
    """Draws panels: `ImageRequest` → one image file."""


class ImageEditor(Generator, Protocol):
    """Changes a picture: `ImageEditRequest` → one image file."""


class VideoGenerator(Generator, Protocol):
    """Animates stills: `VideoRequest` → one video file."""


class MusicGenerator(Generator, Protocol):
    """Composes beds: `MusicRequest` → one audio file."""


class VoiceGenerator(Generator, Protocol):
    """Speaks lines: `VoiceRequest` → one audio file with word timings."""

    async def voices(self) -> list[VoiceInfo]:
        """List the voices that can be had now."""
        ...


class AssetScorer(Generator, Protocol):
    """Judges assets: `ScoreRequest` → `data["scores"]`."""


class ChatModel(Generator, Protocol):
    """Answers: `ChatRequest` → `data` {text, json, tool_calls, stop, usage}."""

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer piece by piece; the last piece has `done`, the whole Generation."""
        ...


class PipelineRunner(Generator, Protocol):
    """Runs a pipeline elsewhere: `PipelineRequest` → `data` {state, name, url}."""


MediaFile.model_rebuild()
