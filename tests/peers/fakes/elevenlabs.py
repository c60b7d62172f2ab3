"""ElevenLabs as far as Studio uses it: speech with and without the times of characters, voices in pages, webhooks.

It is stricter than the vendor: a body field, a query parameter or a format that the API does not have is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import struct
import time
import wave

from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY = "sk_fake_elevenlabs_key_0123456789"
WEBHOOK_SECRET = "wsec_fake_0123456789abcdef"
CHARACTER_S = 0.06
BODY = {
    "text", "model_id", "language_code", "voice_settings", "pronunciation_dictionary_locators", "seed", "previous_text",
    "next_text", "previous_request_ids", "next_request_ids", "use_pvc_as_ivc", "apply_text_normalization",
    "apply_language_text_normalization", "audio_effects",
}  # fmt: skip
SETTINGS = {"stability", "use_speaker_boost", "similarity_boost", "style", "speed", "clone_strength"}
LIMITS = {
    "eleven_v3": 3_000,
    "eleven_multilingual_v2": 10_000,
    "eleven_flash_v2_5": 40_000,
    "eleven_flash_v2": 30_000,
}
RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
FORMATS = {
    "mp3_22050_32", "mp3_24000_48", *(f"mp3_44100_{rate}" for rate in (32, 64, 96, 128, 192)),
    *(f"opus_48000_{rate}" for rate in (32, 64, 96, 128, 192)),
    *(f"{codec}_{rate}" for codec in ("pcm", "wav") for rate in RATES), "ulaw_8000", "alaw_8000",
}  # fmt: skip
MUSIC = {
    "prompt", "composition_plan", "music_length_ms", "model_id", "seed", "force_instrumental", "finetune_id",
    "respect_sections_durations", "store_for_inpainting", "sign_with_c2pa",
}  # fmt: skip
MUSIC_FORMATS = {"auto", *(f"mp3_48000_{rate}" for rate in (128, 192, 240, 320))}
VOICE_QUERY = {
    "page_size", "next_page_token", "search", "sort", "sort_direction", "voice_type", "category", "fine_tuning_state",
    "collection_id", "include_total_count", "voice_ids",
}  # fmt: skip


class Fake(FakeVendor):
    """Speaks silence of the right length. `voices` are the account's; `cost` is credits for a character."""

    def __init__(self, voices=3):
        super().__init__()
        self.voices = [voice(number) for number in range(voices)]
        self.cost = 1.0
        self.quota = 1_000_000
        self.silent = False
        """Says yes and sends no audio."""
        self.music_cost = True
        """Music tells its credits too."""
        self.composed = []
        self.spoken = []
        """What was said and charged."""

    def routes(self):
        path = "/v1/text-to-speech/{voice_id}"
        return [
            web.post(path, self.speech),
            web.post(f"{path}/with-timestamps", self.speech),
            web.post("/v1/music", self.compose),
            web.get("/v2/voices", self.list_voices),
        ]

    def error_body(self, status):
        if status == 422:
            return {
                "detail": [{"loc": ["body", "text"], "msg": "Input should be valid", "type": "value_error"}]
            }
        words = {429: "too_many_concurrent_requests", 413: "max_character_limit_exceeded"}
        return {"detail": {"status": words.get(status, "internal_error"), "message": f"status {status}"}}

    async def speech(self, request):
        refused = self._unauthorized(request) or self._malformed(await request.json(), request)
        if refused is not None:
            return refused
        body = await request.json()
        text, model = body["text"], body.get("model_id", "eleven_multilingual_v2")
        if request.match_info["voice_id"] not in {one["voice_id"] for one in self.voices}:
            return told(400, "voice_not_found", "A voice with this voice_id was not found.")
        if len(text) > LIMITS.get(model, 10_000):
            return told(400, "max_character_limit_exceeded", "This request exceeds the maximum text length.")
        credits_used = int(len(text) * self.cost)
        if credits_used > self.quota:
            return told(401, "quota_exceeded", "This request exceeds your quota.")
        self.quota -= credits_used
        self.spoken.append(body)
        output_format = request.query.get("output_format", "mp3_44100_128")
        sound = b"" if self.silent else audio(output_format, len(text) * CHARACTER_S)
        headers = {
            "request-id": f"req{len(self.spoken):04}", "character-cost": str(credits_used),
            "current-concurrent-requests": "1", "maximum-concurrent-requests": "5",
        }  # fmt: skip
        if not request.path.endswith("/with-timestamps"):
            mime = "audio/wav" if output_format.startswith("wav") else "audio/mpeg"
            return web.Response(body=sound, content_type=mime, headers=headers)
        spoken = alignment(text)
        answer = {
            "audio_base64": base64.b64encode(sound).decode(),
            "alignment": spoken,
            "normalized_alignment": spoken,
        }
        return web.json_response(answer, headers=headers)

    async def compose(self, request):
        refused = self._unauthorized(request)
        body = await request.json()
        if refused or (refused := wrong_music(body, request)):
            return refused
        if "in the style of" in body["prompt"]:
            return told(400, "bad_prompt", "Your prompt appears to violate our Terms.")
        credits_used = body["music_length_ms"] // 10
        if credits_used > self.quota:
            return told(401, "quota_exceeded", "This request exceeds your quota.")
        self.quota -= credits_used
        self.composed.append(body)
        output_format = request.query.get("output_format", "mp3_44100_128")
        sound = b"" if self.silent else audio(output_format, body["music_length_ms"] / 1000)
        headers = {"song-id": f"song{len(self.composed):04}", "request-id": f"req{len(self.composed):04}"}
        if self.music_cost:
            headers["character-cost"] = str(credits_used)
        return web.Response(body=sound, content_type="audio/mpeg", headers=headers)

    async def list_voices(self, request):
        if refused := self._unauthorized(request):
            return refused
        if unknown := set(request.query) - VOICE_QUERY:
            return fields(*((("query", name), "Extra inputs are not permitted") for name in unknown))
        size = int(request.query.get("page_size", 10))
        if not 1 <= size <= 100:
            return fields((("query", "page_size"), "Input should be less than or equal to 100"))
        start = int(request.query.get("next_page_token") or 0)
        end = start + size
        more = end < len(self.voices)
        page = {
            "voices": self.voices[start:end],
            "has_more": more,
            "next_page_token": str(end) if more else None,
        }
        if request.query.get("include_total_count", "true") == "true":
            page["total_count"] = len(self.voices)
        return web.json_response(page)

    def _unauthorized(self, request):
        if request.headers.get("xi-api-key") != KEY:
            return told(401, "invalid_api_key", "Invalid API key")
        return None

    def _malformed(self, body, request):
        wrong = [
            (("query", name), "unknown") for name in set(request.query) - {"output_format", "enable_logging"}
        ]
        if request.query.get("output_format", "mp3_44100_128") not in FORMATS:
            wrong.append((("query", "output_format"), "Input should be one of the formats"))
        if not isinstance(body, dict):
            return fields((("body",), "Input should be a valid dictionary"))
        wrong += [(("body", name), "Extra inputs are not permitted") for name in set(body) - BODY]
        if not isinstance(body.get("text"), str):
            wrong.append((("body", "text"), "Field required"))
        settings = body.get("voice_settings") or {}
        for name, value in settings.items():
            low, high = (0.7, 1.2) if name == "speed" else (0, 1)
            if name not in SETTINGS or not low <= value <= high:
                wrong.append((("body", "voice_settings", name), f"Input should be from {low} to {high}"))
        return fields(*wrong) if wrong else None


def wrong_music(body, request):
    """Return what is wrong with a compose call; None when it is good."""
    known = FORMATS - {name for name in FORMATS if name.startswith("wav")} | MUSIC_FORMATS
    wrong = [(("body", name), "Extra inputs are not permitted") for name in set(body) - MUSIC]
    if request.query.get("output_format", "auto") not in known:
        wrong.append((("query", "output_format"), "Input should be one of the formats"))
    if not 3_000 <= body.get("music_length_ms", 30_000) <= 600_000:
        wrong.append((("body", "music_length_ms"), "Input should be from 3000 to 600000"))
    if not body.get("prompt") or "composition_plan" in body or "seed" in body:
        wrong.append((("body", "prompt"), "A prompt alone: no plan, no seed"))
    return fields(*wrong) if wrong else None


def told(status, word, message):
    return web.json_response({"detail": {"status": word, "message": message}}, status=status)


def fields(*wrong):
    rows = [{"loc": list(loc), "msg": message, "type": "value_error"} for loc, message in wrong]
    return web.json_response({"detail": rows}, status=422)


def voice(number):
    """One voice as `GET /v2/voices` lists it."""
    return {
        "voice_id": f"voice{number:015}",
        "name": f"Voice {number}",
        "category": "premade" if number % 2 else "cloned",
        "labels": {"gender": "female" if number % 2 else "male", "accent": "british", "age": "young"},
        "description": None,
        "preview_url": None,
        "settings": None,
        "verified_languages": [{"language": "en", "model_id": "eleven_multilingual_v2", "locale": "en-GB"}],
        "high_quality_base_model_ids": ["eleven_multilingual_v2"],
        "available_for_tiers": [],
    }


def audio(output_format, seconds):
    """Silence: a WAV, or MPEG-1 layer III frames of the format's bit rate."""
    codec, _, rates = output_format.partition("_")
    if codec == "wav":
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setparams((1, 2, int(rates), 0, "NONE", ""))
            writer.writeframes(bytes(2 * round(int(rates) * seconds)))
        return file.getvalue()
    kilobits = int(rates.rpartition("_")[2])
    index = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192).index(kilobits)
    header = struct.pack(">I", 0xFFFB0000 | index << 12)  # 44.1 kHz, stereo, no padding
    frame = header.ljust(144 * kilobits * 1000 // 44100, b"\0")
    return frame * max(1, round(seconds * 44100 / 1152))


def alignment(text):
    """The same time for each character."""
    starts = [round(number * CHARACTER_S, 3) for number in range(len(text))]
    return {
        "characters": list(text),
        "character_start_times_seconds": starts,
        "character_end_times_seconds": [round(start + CHARACTER_S, 3) for start in starts],
    }


def sign(body, at=None, secret=WEBHOOK_SECRET):
    """Return the value of `ElevenLabs-Signature` for a raw body."""
    at = int(time.time()) if at is None else at
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v0={mac.hexdigest()}"
