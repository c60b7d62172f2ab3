"""`[weather]` in the configuration, `STUDIO_WEATHER__…` in the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class WeatherSettings(BaseModel):
    """Where the sounds are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sound_dir: Path = Path(".studio/weather")
