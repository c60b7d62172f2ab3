"""What goes to the vendor, what comes back, and what its words mean."""

from __future__ import annotations

import io
import wave
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio import Fault, ModelSpec, ProviderRejectedError, VendorTable, VoiceRequest, WordTiming

if TYPE_CHECKING:
    from studio_elevenlabs.settings import ElevenLabsSettings

TABLE = VendorTable(
    vendor="ElevenLabs",
    errors={
        "max_character_limit_exceeded": Fault("text_too_long", input="text"),
        "quota_exceeded": Fault("provider_quota_exceeded"),
        "voice_not_found": Fault("voice_not_found", input="voice"),
        "bad_prompt": Fault("content_policy_violation", input="prompt"),
        "only_for_creator+": Fault("provider_plan_too_small"),
        422: Fault("provider_rejected"),
    },
)
"""Its words for a refusal; 429 and 5xx are told apart by the HTTP client, which waits and reports them."""

NEUTRAL_RATE = 165
"""Words a minute that `VoiceRequest.rate` means by normal; the vendor's speed 1.0."""
SLOWEST, FASTEST = 0.7, 1.2
MIMES = {"mp3": "audio/mpeg", "wav": "audio/wav"}
NO_LANGUAGE = "multilingual"
"""Models of this family find the language out themselves and take no `language_code`."""


def models_of(settings: ElevenLabsSettings) -> tuple[ModelSpec, ...]:
    """Return the models of the configuration with their prices; the default comes first."""
    mime = MIMES[settings.output_format.partition("_")[0]]
    return tuple(
        ModelSpec(
            name,
            "per_1k_characters" if name in settings.prices else "unknown",
            settings.prices.get(name),
            limits={"characters": characters},
            formats=(mime,),
        )
        for name, characters in sorted(
            settings.models.items(), key=lambda item: item[0] != settings.default_model
        )
    )


def music_models_of(settings: ElevenLabsSettings) -> tuple[ModelSpec, ...]:
    """Return the models that compose, with their prices; the first is the default."""
    mime = MIMES[settings.music_format.partition("_")[0]]
    return tuple(
        ModelSpec(
            name,
            "per_second" if name in settings.music_prices else "unknown",
            settings.music_prices.get(name),
            limits={"duration_s": 600},
            formats=(mime,),
        )
        for name in settings.music_models
    )


def credit_cost(settings: ElevenLabsSettings, credits_used: int | None) -> int | None:
    """Return what the reported credits are worth by the operator's plan; a ModelSpec cannot say it."""
    price = settings.credit_price_uusd
    return None if price is None or credits_used is None else -(-credits_used * price // 1000)


class VoiceParams(BaseModel):
    """What `VoiceRequest.params` may hold: nothing else reaches the vendor."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    stability: float | None = Field(None, ge=0, le=1)
    similarity_boost: float | None = Field(None, ge=0, le=1)
    style: float | None = Field(None, ge=0, le=1)
    use_speaker_boost: bool | None = None
    speed: float | None = Field(None, ge=SLOWEST, le=FASTEST)
    """Instead of the speed that the rate stands for."""
    seed: int | None = Field(None, ge=0, le=4_294_967_295)
    previous_text: str | None = Field(None, max_length=3_000)
    next_text: str | None = Field(None, max_length=3_000)
    apply_text_normalization: Literal["auto", "on", "off"] | None = None


_SETTINGS = ("stability", "similarity_boost", "style", "use_speaker_boost")


def params_of(request: VoiceRequest) -> VoiceParams:
    """Check `request.params`; raises ProviderRejectedError naming what is wrong."""
    try:
        return VoiceParams.model_validate(request.params)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ProviderRejectedError(f"These params cannot be used: {told}.", input="params") from error


def body_of(request: VoiceRequest, model: str) -> dict[str, Any]:
    """Return the body of a text-to-speech call; what is left out stays as the voice's owner has set it."""
    params = params_of(request)
    given = params.model_dump(exclude_none=True)
    settings = {name: given.pop(name) for name in _SETTINGS if name in given}
    if (speed := given.pop("speed", None) or speed_of(request.rate)) != 1.0:
        settings["speed"] = speed
    body = {"text": request.text, "model_id": model, **given}
    if settings:
        body["voice_settings"] = settings
    if NO_LANGUAGE not in model and (language := request.language.partition("-")[0]):
        body["language_code"] = language.lower()
    return body


def speed_of(rate: int) -> float:
    """Return the vendor's speed for words a minute: the nearest that it has."""
    return round(min(max(rate / NEUTRAL_RATE, SLOWEST), FASTEST), 2)


def words_of(alignment: Any) -> tuple[WordTiming, ...]:
    """Return the words of a character alignment; none if it cannot be read: the audio is good without."""
    try:
        rows = list(
            zip(
                alignment["characters"],
                alignment["character_start_times_seconds"],
                alignment["character_end_times_seconds"],
                strict=True,
            )
        )
        spoken = [list(word) for blank, word in groupby(rows, lambda row: row[0].isspace()) if not blank]
        return tuple(
            WordTiming(
                text="".join(row[0] for row in word),
                start_ms=round(word[0][1] * 1000),
                end_ms=round(word[-1][2] * 1000),
            )
            for word in spoken
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return ()


def length_ms(audio: bytes, output_format: str) -> int | None:
    """Return how long the audio is: by the header of a WAV, by the constant bit rate of an MP3."""
    codec, _, rates = output_format.partition("_")
    if codec == "mp3":
        return len(audio) * 8 // int(rates.rpartition("_")[2])
    try:
        with wave.open(io.BytesIO(audio)) as file:
            return int(file.getnframes() * 1000 / file.getframerate())
    except (EOFError, wave.Error):
        return None
