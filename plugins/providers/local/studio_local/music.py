"""`LocalMusicGenerator`: a synthesised bed."""

from __future__ import annotations

from typing import Any

from studio import MediaFile, MusicRequest, ProviderRejectedError
from studio_local.files import replacing_later
from studio_local.jobs import Job, LocalGenerator, Outcome
from studio_local.runtime import runtime_of

_LENGTHS = range(1000, 3_600_001)
_TEMPI = range(40, 201)


class LocalMusicGenerator(LocalGenerator[MusicRequest]):
    """Composes in a worker process; the same mood, tempo, length and seed give the same bytes."""

    kind = "music"
    request_type = MusicRequest

    def __init__(self, ctx: Any) -> None:
        self._runtime = runtime_of(ctx)
        super().__init__(self._runtime.jobs)

    async def check(self, request: MusicRequest) -> None:
        """Refuse lengths and tempi out of reach."""
        if request.duration_ms not in _LENGTHS:
            raise ProviderRejectedError("A bed lasts 1 second to 1 hour.", input="duration_ms")
        if request.tempo_bpm not in _TEMPI:
            raise ProviderRejectedError("The tempo must be 40 to 200 beats a minute.", input="tempo_bpm")

    async def produce(self, request: MusicRequest, job: Job) -> Outcome:
        """Compose one WAV (44.1 kHz, stereo)."""
        target = job.folder / "music.wav"
        async with replacing_later(target) as part:
            payload = request.model_dump(include={"duration_ms", "mood", "tempo_bpm", "seed"})
            await self._runtime.work("compose", payload | {"out": str(part)})
        return Outcome((MediaFile(mime="audio/wav", path=target, duration_ms=request.duration_ms),))
