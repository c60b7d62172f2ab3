"""The section `[elevenlabs]` of the configuration."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)

HOSTS = {
    "global": "api.elevenlabs.io",
    "us": "api.us.elevenlabs.io",
    "eu": "api.eu.residency.elevenlabs.io",
    "in": "api.in.residency.elevenlabs.io",
    "sg": "api.sg.residency.elevenlabs.io",
}
"""Where the vendor answers. Source: elevenlabs 2.78.0, environment.py."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MODELS = {
    "eleven_multilingual_v2": 10_000,
    "eleven_v3": 3_000,
    "eleven_flash_v2_5": 40_000,
    "eleven_turbo_v2_5": 40_000,
    "eleven_flash_v2": 30_000,
    "eleven_turbo_v2": 30_000,
}
"""Characters that one request may have. Source: ElevenLabs documentation, models."""
Format = Literal[
    "mp3_22050_32", "mp3_24000_48", "mp3_44100_32", "mp3_44100_64", "mp3_44100_96", "mp3_44100_128", "mp3_44100_192",
    "wav_8000", "wav_16000", "wav_22050", "wav_24000", "wav_32000", "wav_44100", "wav_48000",
]  # fmt: skip
"""The formats of the vendor that every player reads: those without a container are left out."""
MusicFormat = Literal[
    "mp3_22050_32", "mp3_24000_48", "mp3_44100_32", "mp3_44100_64", "mp3_44100_96", "mp3_44100_128", "mp3_44100_192",
    "mp3_48000_128", "mp3_48000_192", "mp3_48000_240", "mp3_48000_320",
]  # fmt: skip
"""The same for music: the vendor has no WAV there."""


class ElevenLabsSettings(BaseModel):
    """Off without `api_key`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "ELEVENLABS_API_KEY"})
    webhook_secret: SecretStr | None = Field(None, json_schema_extra={"env": "ELEVENLABS_WEBHOOK_SECRET"})
    region: Literal["global", "us", "eu", "in", "sg"] = "global"
    base_url: str = ""
    """Instead of the region's own address: one of the vendor's hosts, or a server on this machine."""
    default_model: str = "eleven_multilingual_v2"
    models: dict[str, PositiveInt] = MODELS
    output_format: Format = "mp3_44100_128"
    timestamps: bool = True
    prices: dict[str, NonNegativeInt] = {}
    """Micro-USD for 1,000 characters, by model; a model that is not named has no known price."""
    credit_price_uusd: NonNegativeInt | None = None
    """Micro-USD for 1,000 credits of the plan: what a line has cost is then computed from the reported credits."""
    deadline_s: float = Field(60.0, gt=0)
    music_models: Annotated[tuple[str, ...], Field(min_length=1)] = ("music_v2", "music_v2_5", "music_v1")
    """The models that compose; the first is the default. Source: elevenlabs 2.78.0, MusicModelId."""
    music_format: MusicFormat = "mp3_44100_128"
    music_prices: dict[str, NonNegativeInt] = Field(default={})
    """Micro-USD for one second of music, by model; a model that is not named has no known price."""
    music_deadline_s: float = Field(300.0, gt=0)
    max_audio_bytes: int = Field(50_000_000, gt=0)
    work_dir: Path = Path(".studio/elevenlabs")
    keep_h: float = Field(24.0, gt=0)

    @field_validator("base_url")
    @classmethod
    def _known_host(cls, value: str) -> str:
        parts = urlsplit(value)
        good = parts.scheme == "https" and parts.hostname in HOSTS.values()
        good = good or (parts.scheme in ("http", "https") and parts.hostname in LOOPBACK)
        if value and (not good or parts.username or parts.query or parts.fragment):
            raise ValueError(f"https:// and one of {', '.join(HOSTS.values())}, or a server on this machine")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _offered(self) -> Self:
        for name, prices, offered in (
            ("prices", self.prices, self.models),
            ("music_prices", self.music_prices, self.music_models),
        ):
            if unknown := sorted(set(prices) - set(offered)):
                raise ValueError(f"{name}: no such model is offered: {', '.join(unknown)}")
        return self

    @property
    def address(self) -> str:
        """Return the base address of every call."""
        return self.base_url or f"https://{HOSTS[self.region]}"
