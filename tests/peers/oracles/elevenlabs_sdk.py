"""Speaks, lists voices and checks webhooks with the vendor's own SDK; prints what it got as JSON.

Arguments: base URL, key, voice, and the webhook calls as JSON [[body, header, secret], …].
"""

from __future__ import annotations

import base64
import json
import sys

from elevenlabs import VoiceSettings
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.errors import BadRequestError


def main(base_url, key, voice, hooks):
    client = ElevenLabs(base_url=base_url, api_key=key)
    settings = VoiceSettings(
        stability=0.5, similarity_boost=0.8, style=0.0, use_speaker_boost=True, speed=1.2
    )
    given = {"text": "Hello dark sky.", "model_id": "eleven_flash_v2_5", "output_format": "mp3_44100_128"}
    timed = client.text_to_speech.with_raw_response.convert_with_timestamps(
        voice, **given, language_code="de", seed=7, voice_settings=settings
    )
    plain = b"".join(client.text_to_speech.convert(voice, text="hi", model_id="eleven_multilingual_v2"))
    asked = {"prompt": "A low drone", "music_length_ms": 12_000, "model_id": "music_v2"}
    composed = client.music.compose(**asked, force_instrumental=True, output_format="mp3_44100_128")
    music = b"".join(composed)
    pages, token = [], None
    while True:
        page = client.voices.search(page_size=100, next_page_token=token)
        pages.append([one.voice_id for one in page.voices])
        token = page.next_page_token
        if not page.has_more:
            break
    data = timed.data
    return {
        "audio": len(base64.b64decode(data.audio_base_64)),
        "characters": "".join(data.alignment.characters),
        "starts": data.alignment.character_start_times_seconds,
        "request_id": timed.headers["request-id"],
        "cost": timed.headers["character-cost"],
        "plain": len(plain),
        "music": len(music),
        "pages": pages,
        "hooks": [taken(client, *hook) for hook in json.loads(hooks)],
        "refused": refused(client, voice),
    }


def taken(client, body, header, secret):
    try:
        return client.webhooks.construct_event(body, header, secret)["type"]
    except (BadRequestError, ValueError):
        return None


def refused(client, voice):
    try:
        client.text_to_speech.convert_with_timestamps("nobody" + voice, text="x")
    except ApiError as error:
        return error.body["detail"]["status"]
    return None


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
