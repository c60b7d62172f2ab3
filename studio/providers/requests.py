"""What providers are asked: one immutable model per capability. Files travel as local paths, lengths in ms."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from studio.providers.contract import Generation, ProviderModel


class GenerationRequest(ProviderModel):
    """What every request carries. `job_id` is unique per job attempt: local providers may use it as their own id."""

    job_id: str
    model: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    callback_url: str | None = None
    """Where the vendor may call back, unguessable; None: it cannot reach us, and is polled."""


class CharacterBrief(ProviderModel):
    """A character in the frame; `colour` is "#rrggbb" and stays the same through the whole film."""

    name: str
    colour: str = "#888888"


class ShotBrief(ProviderModel):
    """What a shot shows, structured. Local drawing reads it; vendors read `ImageRequest.prompt`."""

    code: str = ""
    """Scene number and shot letter, e.g. "3B"."""
    int_ext: Literal["INT", "EXT", "INT/EXT"] = "INT"
    location: str = ""
    time_of_day: str = "DAY"
    weather: Literal["clear", "rain", "snow", "fog", "storm", "wind"] = "clear"
    shot_size: Literal["ELS", "LS", "MS", "MCU", "CU", "ECU", "OTS", "TWO"] = "MS"
    movement: Literal["static", "push_in", "pull_out", "pan_left", "pan_right", "tilt_up", "tilt_down"] = (
        "static"
    )
    characters: tuple[CharacterBrief, ...] = ()
    description: str = ""
    caption: str = ""


class ImageRequest(GenerationRequest):
    """Draw one panel of `width` by `height` pixels. `references` are local images for consistency."""

    prompt: str
    negative: str = ""
    width: int = 1280
    height: int = 720
    seed: int = 0
    brief: ShotBrief | None = None
    references: tuple[Path, ...] = ()


class ImageEditRequest(GenerationRequest):
    """Change `image` as `operation` says. `mask` is a PNG of its size whose transparent parts are to be changed."""

    operation: Literal["inpaint", "outpaint", "remove_background", "upscale", "variation"]
    image: Path
    prompt: str = ""
    mask: Path | None = None
    width: int = 1280
    height: int = 720
    seed: int = 0


class VideoRequest(GenerationRequest):
    """Animate one still `image` for `duration_ms`."""

    prompt: str = ""
    image: Path
    duration_ms: int
    movement: str = "push_in"
    width: int = 1280
    height: int = 720
    fps: int = 24


class VoiceRequest(GenerationRequest):
    """Speak `text`. `rate` is words per minute, `pitch` 0 to 100 (50 neutral)."""

    text: str
    voice: str
    language: str = "en"
    rate: int = 165
    pitch: int = 50


class MusicRequest(GenerationRequest):
    """Compose a bed of `duration_ms`. The same seed gives the same music."""

    duration_ms: int
    mood: Literal["neutral", "tense", "warm", "sad", "bright", "dark"] = "neutral"
    tempo_bpm: int = 84
    seed: int = 0
    prompt: str = ""


class ScoreRequest(GenerationRequest):
    """Judge one image; the answer is `Generation.data["scores"]`: [{"scorer", "score" 0 to 1, "reason"}]."""

    image: Path


class ToolCall(ProviderModel):
    """A call that the model wants; `arguments` as it wrote them, parsed and not yet checked."""

    id: str
    name: str
    arguments: dict[str, Any]


class ChatMessage(ProviderModel):
    """One turn of a conversation. A "tool" turn answers the call `tool_call_id` of the turn before."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class ChatTool(ProviderModel):
    """A tool on offer; `parameters` is a JSON Schema of an object."""

    name: str
    description: str = ""
    parameters: dict[str, Any]


class ChatRequest(GenerationRequest):
    """Ask a chat model; with a `json_schema` the answer is also `Generation.data["json"]`."""

    messages: tuple[ChatMessage, ...]
    json_schema: dict[str, Any] | None = None
    tools: tuple[ChatTool, ...] = ()
    max_output_tokens: int = 4096
    temperature: float | None = None


class ChatDelta(ProviderModel):
    """A piece of a streamed answer: text to append, or at the end the whole."""

    text: str = ""
    done: Generation | None = None


class PipelineRequest(GenerationRequest):
    """Run the pipeline `name` with `parameters`; `job_id` keeps a repetition from being a second run."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class VoiceInfo(ProviderModel):
    """One voice a provider offers; `id` is what `VoiceRequest.voice` takes."""

    id: str
    name: str
    language: str = ""
    gender: str = ""
    tags: tuple[str, ...] = ()
