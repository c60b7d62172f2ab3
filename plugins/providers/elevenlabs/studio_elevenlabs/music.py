"""`ElevenLabsMusicGenerator`: beds composed by ElevenLabs. The answer is the audio: `submit` succeeds at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from studio import Estimate, Generation, MediaFile, ModelSpec, ProviderRejectedError, price_of
from studio_elevenlabs.client import ElevenLabsClient
from studio_elevenlabs.kept import Kept
from studio_elevenlabs.models import MIMES, credit_cost, length_ms, music_models_of
from studio_elevenlabs.settings import ElevenLabsSettings

if TYPE_CHECKING:
    from pathlib import Path

    from studio import MusicRequest, PluginContext
    from studio_elevenlabs.client import Sound

SHORTEST_MS, LONGEST_MS = 3_000, 600_000
"""Source: elevenlabs 2.78.0, music.compose."""


class ElevenLabsMusicGenerator:
    """Composes without voices, from a prompt. The vendor takes no seed beside one."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = settings = ctx.settings(ElevenLabsSettings)
        self._client = ElevenLabsClient(ctx, settings)
        self._kept = Kept(settings.work_dir, settings.keep_h)
        self._models = {model.name: model for model in music_models_of(settings)}

    async def submit(self, request: MusicRequest) -> Generation:
        """Compose one bed. Raises ProviderRejectedError for what the vendor cannot compose, before a call."""
        model = self._model(request)
        body = body_of(request, model.name)
        self._kept.folder(request.job_id)
        sound = await self._client.compose(body)
        name = f"music.{self._settings.music_format.partition('_')[0]}"
        told = partial(self._told, request, sound)
        return await self._kept.put(request.job_id, name, sound.audio, told)

    async def poll(self, provider_job_id: str) -> Generation:
        """Return a bed composed earlier; raises ProviderRejectedError once it is gone."""
        return await self._kept.get(provider_job_id)

    async def cancel(self, provider_job_id: str) -> bool:  # noqa: ARG002 - the contract names it
        """Say no: a bed is composed when `submit` answers."""
        return False

    def estimate(self, request: MusicRequest) -> Estimate:
        """Price the seconds, if the operator has told the price of the model."""
        model = self._model(request)
        cost = price_of(model, {"seconds": -(-_length(request) // 1000)})
        note = "" if cost is not None else f"set the price of {model.name} in elevenlabs.music_prices"
        return Estimate(cost_uusd=cost, note=note)

    def _model(self, request: MusicRequest) -> ModelSpec:
        name = request.model or self._settings.music_models[0]
        if name not in self._models:
            raise ProviderRejectedError(
                f"The model {name!r} is not in elevenlabs.music_models.", input="model"
            )
        return self._models[name]

    def _told(self, request: MusicRequest, sound: Sound, path: Path) -> Generation:
        output_format = self._settings.music_format
        lasts = length_ms(sound.audio, output_format)
        meta = {"song_id": sound.song_id, "request_id": sound.request_id}
        file = MediaFile(
            mime=MIMES[output_format.partition("_")[0]], path=path, duration_ms=lasts,
            meta=meta | {"ignored": ["seed"] if request.seed else []},
        )  # fmt: skip
        usage = {"calls": 1, "seconds": -(-(lasts or _length(request)) // 1000)}
        if sound.credits is not None:
            usage["credits"] = sound.credits
        return Generation(
            provider_job_id=request.job_id, state="succeeded", percent=100, files=(file,), usage=usage,
            cost_uusd=credit_cost(self._settings, sound.credits), cost_source="computed",
        )  # fmt: skip


def body_of(request: MusicRequest, model: str) -> dict[str, Any]:
    """Return the body of a compose call; raises ProviderRejectedError for params, of which there are none."""
    if request.params:
        raise ProviderRejectedError(
            f"params: {', '.join(sorted(request.params))}: not to be set.", input="params"
        )
    prompt = request.prompt or f"{request.mood} instrumental film music, {request.tempo_bpm} bpm"
    return {
        "prompt": prompt, "music_length_ms": _length(request), "model_id": model, "force_instrumental": True,
    }  # fmt: skip


def _length(request: MusicRequest) -> int:
    """Return the length to ask for in ms: a bed that is too long is cut, one that is too short is not there."""
    if not 0 < request.duration_ms <= LONGEST_MS:
        raise ProviderRejectedError(f"A bed lasts up to {LONGEST_MS} ms.", input="duration_ms")
    return max(SHORTEST_MS, request.duration_ms)
