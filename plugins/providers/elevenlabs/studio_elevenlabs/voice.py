"""`ElevenLabsVoiceGenerator`: lines spoken by ElevenLabs. The answer is the audio: `submit` succeeds at once."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from studio import (
    Estimate,
    Generation,
    MediaFile,
    ModelSpec,
    ProviderRejectedError,
    VoiceInfo,
    VoiceRequest,
    WebhookCall,
    WebhookNews,
    price_of,
)
from studio_elevenlabs import webhooks
from studio_elevenlabs.client import ElevenLabsClient
from studio_elevenlabs.models import MIMES, body_of, length_ms, models_of, words_of
from studio_elevenlabs.settings import ElevenLabsSettings

if TYPE_CHECKING:
    from pathlib import Path

    from studio import PluginContext
    from studio_elevenlabs.client import Speech

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TIDY_S = 600.0
_TAGS = ("accent", "age", "descriptive", "description", "use_case")


class ElevenLabsVoiceGenerator:
    """Speaks lines; keeps each result on disk until it is fetched, so that `poll` answers after a restart too."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = ctx.settings(ElevenLabsSettings)
        self._client = ElevenLabsClient(ctx, self._settings)
        self._root = self._settings.work_dir.absolute()
        self._models = {model.name: model for model in models_of(self._settings)}
        self._tidied = 0.0

    async def submit(self, request: VoiceRequest) -> Generation:
        """Speak one line. Raises ProviderRejectedError for what the vendor cannot speak, before a call."""
        model = self._model(request)
        self._check(request, model)
        body = body_of(request, model.name)
        folder = self._folder(request.job_id)
        speech = await self._client.speak(request.voice, body)
        return await asyncio.to_thread(self._keep, folder, request, speech)

    async def poll(self, provider_job_id: str) -> Generation:
        """Return the result of a line spoken earlier; raises ProviderRejectedError once it is gone."""
        kept = self._folder(provider_job_id) / "generation.json"
        try:
            return Generation.model_validate_json(await asyncio.to_thread(kept.read_bytes))
        except FileNotFoundError as error:
            raise ProviderRejectedError("There is no such line here.", code="unknown_job") from error

    async def cancel(self, provider_job_id: str) -> bool:  # noqa: ARG002 - the contract names it
        """Say no: a line is spoken when `submit` answers."""
        return False

    def estimate(self, request: VoiceRequest) -> Estimate:
        """Price the characters, if the operator has told the price of the model."""
        model = self._model(request)
        cost = price_of(model, {"characters": len(request.text)})
        note = "" if cost is not None else f"set the price of {model.name} in elevenlabs.prices"
        return Estimate(cost_uusd=cost, note=note)

    async def voices(self) -> list[VoiceInfo]:
        """List the voices of the account."""
        return [_info(voice) for voice in await self._client.voices() if voice.get("voice_id")]

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Check and read a call of the vendor: news of voices and transcripts, a spoken line sends none."""
        return webhooks.parse(call, self._settings.webhook_secret)

    def _model(self, request: VoiceRequest) -> ModelSpec:
        name = request.model or self._settings.default_model
        if name not in self._models:
            raise ProviderRejectedError(f"The model {name!r} is not in elevenlabs.models.", input="model")
        return self._models[name]

    def _check(self, request: VoiceRequest, model: ModelSpec) -> None:
        longest = model.limits["characters"]
        if not request.text.strip() or len(request.text) > longest:
            raise ProviderRejectedError(
                f"A line for {model.name} has 1 to {longest} characters.", input="text"
            )
        if not _SAFE.fullmatch(request.voice):
            raise ProviderRejectedError("A voice of ElevenLabs is named by its id.", input="voice")

    def _folder(self, job_id: str) -> Path:
        if not _SAFE.fullmatch(job_id):
            raise ProviderRejectedError("This is no id of a line.", code="unknown_job")
        return self._root / job_id

    def _keep(self, folder: Path, request: VoiceRequest, speech: Speech) -> Generation:
        output_format = self._settings.output_format
        codec = output_format.partition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"voice.{codec}"
        path.write_bytes(speech.audio)
        meta = {"request_id": speech.request_id, "ignored": ["pitch"] if request.pitch != 50 else []}  # noqa: PLR2004 - neutral
        file = MediaFile(
            mime=MIMES[codec], path=path, duration_ms=length_ms(speech.audio, output_format),
            words=words_of(speech.alignment) if speech.alignment else (), meta=meta,
        )  # fmt: skip
        usage = {"characters": len(request.text)}
        if speech.credits is not None:
            usage["credits"] = speech.credits
        generation = Generation(
            provider_job_id=request.job_id, state="succeeded", percent=100, files=(file,),
            cost_uusd=self._cost(speech.credits), usage=usage,
        )  # fmt: skip
        (folder / "generation.json").write_text(generation.model_dump_json())
        self._tidy(folder)  # only now: the line is paid, and nothing may come between it and the disk
        return generation

    def _cost(self, credits_used: int | None) -> int | None:
        """Return what the reported credits are worth by the operator's plan; a ModelSpec cannot say it."""
        price = self._settings.credit_price_uusd
        return None if price is None or credits_used is None else -(-credits_used * price // 1000)

    def _tidy(self, fresh: Path) -> None:
        """Remove what nobody has fetched for `keep_h`, now and then, but not `fresh`; never raises OSError."""
        now = time.time()
        if now - self._tidied < _TIDY_S:
            return
        self._tidied = now
        with suppress(OSError):
            for folder in self._root.iterdir():
                with suppress(OSError):  # another process tidies too
                    if folder != fresh and now - folder.stat().st_mtime > self._settings.keep_h * 3600:
                        shutil.rmtree(folder, ignore_errors=True)


def _info(voice: dict[str, Any]) -> VoiceInfo:
    labels = voice.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    tags = [voice.get("category"), *(labels.get(name) for name in _TAGS)]
    return VoiceInfo(
        id=str(voice["voice_id"]),
        name=str(voice.get("name") or voice["voice_id"]),
        language=_language(labels, voice.get("verified_languages")),
        gender=str(labels.get("gender") or ""),
        tags=tuple(str(tag) for tag in tags if tag),
    )


def _language(labels: dict[str, Any], verified: Any) -> str:
    """Return the one language of a voice; "" for one that speaks several, or of which nobody says."""
    rows = [row for row in verified or () if isinstance(row, dict)] if isinstance(verified, list) else []
    spoken = {str(name).partition("-")[0] for row in rows if (name := row.get("language"))}
    if not spoken and labels.get("language"):
        spoken = {str(labels["language"])}
    return spoken.pop() if len(spoken) == 1 else ""
