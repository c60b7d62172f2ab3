"""`OpenaiVoiceGenerator`: lines spoken by `/audio/speech`. The vendor gives no word timings."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from studio import (
    Estimate,
    Generation,
    MediaFile,
    OutcomeUnknownError,
    ProviderRejectedError,
    VoiceInfo,
    price_of,
)
from studio_openai.asking import calls_of
from studio_openai.at_once import AtOnce
from studio_openai.files import OutputFolder
from studio_openai.models import VoiceParams, params_of
from studio_openai.prices import chosen, priced
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio import Doc, PluginContext, VoiceRequest

MIMES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
}
TEXT_LETTERS, CUSTOM = 4096, "voice_"
_USUAL_RATE, _SLOWEST, _FASTEST = 165, 0.25, 4.0


class OpenaiVoiceGenerator(AtOnce):
    """Speaks at once. WAV unless asked otherwise, because its length can be told without decoding."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = settings = ctx.settings(OpenaiSettings)
        self._models = priced(settings.voice_models, settings.prices, tuple(MIMES.values()))
        self._calls = calls_of(ctx, "voice", settings.voice_deadline_s)
        self._files = OutputFolder(settings.work_dir, keep_h=settings.keep_files_h)

    async def voices(self) -> list[VoiceInfo]:
        """Return the voices of the settings: the vendor has no list of them."""
        return [VoiceInfo(id=name, name=name.capitalize()) for name in self._settings.voices]

    async def submit(self, request: VoiceRequest) -> Generation:
        """Speak one line. `pitch` has no counterpart; `rate` becomes a speed of 0.25 to 4."""
        model, params = chosen(self._models, request.model), params_of(VoiceParams, request.params)
        if not request.text.strip() or len(request.text) > TEXT_LETTERS:
            raise ProviderRejectedError(f"A line has 1 to {TEXT_LETTERS} characters.", input="text")
        if params.instructions and model.name.startswith("tts-1"):
            raise ProviderRejectedError(f"params.instructions: {model.name} takes none.", input="params")
        body: Doc = {"model": model.name, "input": request.text, "voice": self._voice(request.voice)}
        body |= {"response_format": "wav"} | params.given()
        if (speed := speed_of(request.rate)) != 1:
            body["speed"] = speed
        answer = await self._calls.create("/audio/speech", json=body)
        file = await self._file(request.job_id, body["response_format"], answer.headers, answer.body)
        usage = {"characters": len(request.text), "calls": 1}
        return Generation(
            provider_job_id=answer.headers.get("x-request-id") or f"voice-{request.job_id}",
            state="succeeded", percent=100, files=(file,), usage=usage,
        )  # fmt: skip

    def estimate(self, request: VoiceRequest) -> Estimate:
        """Return the price by characters, where the operator has set one."""
        model = chosen(self._models, request.model)
        cost = price_of(model, {"characters": len(request.text), "calls": 1})
        return Estimate(cost_uusd=cost, note="by characters")

    def _voice(self, wanted: str) -> str | Doc:
        if wanted.startswith(CUSTOM):
            return {"id": wanted}
        if wanted in self._settings.voices:
            return wanted
        near = difflib.get_close_matches(wanted, self._settings.voices, 3) or self._settings.voices
        raise ProviderRejectedError(
            f"There is no voice {wanted[:40]!r}: choose from {', '.join(near)}.",
            code="voice_not_found",
            input="voice",
        )

    async def _file(self, job_id: str, kind: str, headers: Mapping[str, str], data: bytes) -> MediaFile:
        sent = headers.get("content-type", "").partition(";")[0]
        if not data or not sent.startswith(("audio/", "application/octet-stream")):
            raise OutcomeUnknownError(f"OpenAI answered with {sent[:40] or 'nothing'} instead of a voice.")
        path = await self._files.put(f"voice-{job_id}", f".{kind}", data)
        return MediaFile(mime=MIMES[kind], path=path, duration_ms=wav_ms(data) if kind == "wav" else None)


def speed_of(rate: int) -> float:
    """Return the vendor's speed for words per minute."""
    return round(min(_FASTEST, max(_SLOWEST, rate / _USUAL_RATE)), 2)


def wav_ms(data: bytes) -> int | None:
    """Return how long a WAV lasts, by its bytes: a stream's header does not know its own length."""
    at, rate = 12, 0
    while data[:4] == b"RIFF" and at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt ":
            rate = int.from_bytes(data[at + 16 : at + 20], "little")
        if name == b"data":
            return min(size, len(data) - at - 8) * 1000 // rate if rate else None
        at += 8 + size + size % 2
    return None
