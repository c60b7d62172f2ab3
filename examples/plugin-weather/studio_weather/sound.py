"""A provider of `music`: rain, wind and storm are noise with the high tones taken out, more or less."""

from __future__ import annotations

import asyncio
import random
import re
import wave
from array import array
from typing import TYPE_CHECKING

from studio import Estimate, Generation, MediaFile, MusicRequest, ProviderRejectedError
from studio_weather.settings import WeatherSettings

if TYPE_CHECKING:
    from pathlib import Path

    from studio import PluginContext

RATE, LOOP_S, LONGEST_MS = 22_050, 4, 600_000
SMOOTHING = {"rain": 0.35, "wind": 0.03, "storm": 0.12}
"""How much of each new sample is heard: the less, the darker."""


class WeatherSounds:
    """Finishes within `submit`; a sound is a file named after its job, so that `poll` works after a restart."""

    def __init__(self, ctx: PluginContext) -> None:
        self._folder = ctx.settings(WeatherSettings).sound_dir

    async def submit(self, request: MusicRequest) -> Generation:
        """Write one WAV (22.05 kHz, mono); raises ProviderRejectedError for more than ten minutes."""
        if not 0 < request.duration_ms <= LONGEST_MS:
            raise ProviderRejectedError("The weather lasts up to 10 minutes.", input="duration_ms")
        target = self._target(request.job_id)
        kind = request.model or "rain"
        await asyncio.to_thread(_write, target, SMOOTHING[kind], request.duration_ms, request.seed)
        return await self.poll(request.job_id)

    async def poll(self, provider_job_id: str) -> Generation:
        """Return the finished sound; raises ProviderRejectedError for an id that was never submitted."""
        target = self._target(provider_job_id)
        if not target.exists():
            raise ProviderRejectedError("There is no such sound.")
        with wave.open(str(target)) as sound:
            duration_ms = sound.getnframes() * 1000 // RATE
        file = MediaFile(mime="audio/wav", path=target, duration_ms=duration_ms)
        return Generation(provider_job_id=provider_job_id, state="succeeded", files=(file,), cost_uusd=0)

    async def cancel(self, provider_job_id: str) -> bool:
        """Say that it is too late: sounds are finished at once."""
        del provider_job_id
        return False

    def estimate(self, request: MusicRequest) -> Estimate:
        """Say that the weather is free."""
        del request
        return Estimate(cost_uusd=0)

    def _target(self, job_id: str) -> Path:
        return self._folder / f"{re.sub('[^A-Za-z0-9_-]', '_', job_id)}.wav"


def _write(target: Path, smoothing: float, duration_ms: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - noise, no secret
    level, loop = 0.0, array("h")
    for _ in range(RATE * LOOP_S):
        level += smoothing * (chance.uniform(-1, 1) - level)
        loop.append(int(12_000 * level))
    frames = RATE * duration_ms // 1000
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with wave.open(str(part), "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes((loop * (frames // len(loop) + 1))[:frames].tobytes())
    part.replace(target)
