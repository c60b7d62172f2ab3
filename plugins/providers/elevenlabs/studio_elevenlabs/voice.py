"""`ElevenLabsVoiceGenerator`: lines spoken by ElevenLabs. The answer is the audio: `submit` succeeds at once."""

from __future__ import annotations

from functools import partial
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
from studio_elevenlabs.kept import SAFE, Kept
from studio_elevenlabs.models import MIMES, body_of, credit_cost, length_ms, models_of, words_of
from studio_elevenlabs.settings import ElevenLabsSettings

if TYPE_CHECKING:
    from pathlib import Path

    from studio import PluginContext
    from studio_elevenlabs.client import Sound

_TAGS = ("accent", "age", "descriptive", "description", "use_case")


class ElevenLabsVoiceGenerator:
    """Speaks lines; keeps each result on disk until it is fetched, so that `poll` answers after a restart too."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = ctx.settings(ElevenLabsSettings)
        self._client = ElevenLabsClient(ctx, self._settings)
        self._kept = Kept(self._settings.work_dir, self._settings.keep_h)
        self._models = {model.name: model for model in models_of(self._settings)}

    async def submit(self, request: VoiceRequest) -> Generation:
        """Speak one line. Raises ProviderRejectedError for what the vendor cannot speak, before a call."""
        model = self._model(request)
        self._check(request, model)
        body = body_of(request, model.name)
        self._kept.folder(request.job_id)
        sound = await self._client.speak(request.voice, body)
        name = f"voice.{self._settings.output_format.partition('_')[0]}"
        return await self._kept.put(request.job_id, name, sound.audio, partial(self._told, request, sound))

    async def poll(self, provider_job_id: str) -> Generation:
        """Return the result of a line spoken earlier; raises ProviderRejectedError once it is gone."""
        return await self._kept.get(provider_job_id)

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
        if not SAFE.fullmatch(request.voice):
            raise ProviderRejectedError("A voice of ElevenLabs is named by its id.", input="voice")

    def _told(self, request: VoiceRequest, sound: Sound, path: Path) -> Generation:
        output_format = self._settings.output_format
        meta = {"request_id": sound.request_id, "ignored": ["pitch"] if request.pitch != 50 else []}  # noqa: PLR2004 - neutral
        file = MediaFile(
            mime=MIMES[output_format.partition("_")[0]], path=path, duration_ms=length_ms(sound.audio, output_format),
            words=words_of(sound.alignment) if sound.alignment else (), meta=meta,
        )  # fmt: skip
        usage = {"characters": len(request.text)}
        if sound.credits is not None:
            usage["credits"] = sound.credits
        return Generation(
            provider_job_id=request.job_id, state="succeeded", percent=100, files=(file,),
            cost_uusd=credit_cost(self._settings, sound.credits), cost_source="computed", usage=usage,
        )  # fmt: skip


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
