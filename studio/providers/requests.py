"""What providers are asked: one immutable model per capability. Files travel as local paths, lengths in ms."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Any, Literal

from pydantic import Field

from studio.providers.contract import ProviderModel, WordTiming

__all__ = [
    "Breakdown",
    "BreakdownLine",
    "BreakdownRequest",
    "BreakdownShot",
    "CharacterBrief",
    "ChatMessage",
    "ChatRequest",
    "FilmLine",
    "FilmRequest",
    "FilmShot",
    "GenerationRequest",
    "ImageRequest",
    "MusicRequest",
    "ScoreRequest",
    "ScriptElement",
    "ScriptScene",
    "ShotBrief",
    "VideoRequest",
    "VoiceInfo",
    "VoiceRequest",
]


class GenerationRequest(ProviderModel):
    """What every request carries. `job_id` is unique per job attempt: local providers may use it as their own id."""

    job_id: str
    model: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)


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


class ScriptScene(ProviderModel):
    """One scene as the importer parsed it. `elements` are in script order."""

    number: str
    int_ext: Literal["INT", "EXT", "INT/EXT"]
    location: str
    time_of_day: str
    elements: tuple[ScriptElement, ...] = ()


class ScriptElement(ProviderModel):
    """One line of action or dialogue. `id` is the line's stable id where it already has one."""

    kind: Literal["action", "dialogue", "transition"]
    text: str
    character: str | None = None
    parenthetical: str = ""
    id: str | None = None


class BreakdownRequest(GenerationRequest):
    """Break scenes down into shots. The answer is `Breakdown` in `Generation.data["breakdown"]`."""

    title: str
    scenes: tuple[ScriptScene, ...]
    language: str = "en"


class BreakdownLine(ProviderModel):
    """A spoken line inside a shot; `character` None is the narrator."""

    text: str
    character: str | None = None
    parenthetical: str = ""
    emotion: str = ""


class BreakdownShot(ProviderModel):
    """One planned shot of a scene (`scene` is the index into the request's scenes)."""

    scene: int
    code: str
    description: str
    shot_size: str
    angle: str = "eye"
    movement: str = "static"
    duration_ms: int
    characters: tuple[str, ...] = ()
    lines: tuple[BreakdownLine, ...] = ()
    weather: str = "clear"
    mood: str = "neutral"
    image_prompt: str = ""


class Breakdown(ProviderModel):
    """The whole plan: shots in film order, every character and prop named in the script."""

    shots: tuple[BreakdownShot, ...]
    characters: tuple[str, ...] = ()
    props: tuple[str, ...] = ()
    synopses: tuple[str, ...] = ()
    """One sentence per scene of the request, same order."""


class FilmLine(ProviderModel):
    """A voice on the film's time line: `start_ms` relative to its shot."""

    audio: Path | None
    """None: the line is only a subtitle (its voice could not be made)."""
    start_ms: int
    duration_ms: int
    text: str
    speaker: str = ""
    words: tuple[WordTiming, ...] = ()


class FilmShot(ProviderModel):
    """One shot of the film. `clip` replaces the animated `panel` when it is there."""

    id: str
    code: str
    panel: Path
    clip: Path | None = None
    movement: str = "push_in"
    duration_ms: int
    lines: tuple[FilmLine, ...] = ()


class FilmRequest(GenerationRequest):
    """Cut the shots to one film. Outputs: video/mp4, application/x-subrip, application/otio+json (and EDL, FCPXML).

    `cache_dir` keeps content-addressed segments between renders; `out_dir` receives the files.
    """

    title: str
    shots: tuple[FilmShot, ...]
    music: Path | None = None
    width: int = 1280
    height: int = 720
    fps: int = 24
    burn_subtitles: bool = True
    cache_dir: Path
    out_dir: Path


class ScoreRequest(GenerationRequest):
    """Judge one image; the answer is `Generation.data["scores"]`: [{"scorer", "score" 0 to 1, "reason"}]."""

    image: Path


class ChatMessage(ProviderModel):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


class ChatRequest(GenerationRequest):
    """Ask a chat model; the answer is `Generation.data["text"]` (and "json" with a `json_schema`)."""

    messages: tuple[ChatMessage, ...]
    json_schema: dict[str, Any] | None = None
    max_output_tokens: int = 4096


class VoiceInfo(ProviderModel):
    """One voice a provider offers; `id` is what `VoiceRequest.voice` takes."""

    id: str
    name: str
    language: str = ""
    gender: str = ""
    tags: tuple[str, ...] = ()


ScriptScene.model_rebuild()
