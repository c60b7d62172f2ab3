"""What the vendor says, as captured, and what it means here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import studio
from studio import HttpAnswer, VoiceRequest
from studio_elevenlabs.client import refusal
from studio_elevenlabs.models import body_of, length_ms, speed_of, words_of

pytestmark = pytest.mark.pure
PAYLOADS = Path(__file__).parent / "payloads"


def cases(name):
    rows = json.loads((PAYLOADS / name).read_text())
    return pytest.mark.parametrize("case", rows, ids=[row["name"] for row in rows])


@cases("refusals.json")
def test_refusal_says_what_was_wrong(case):
    error = refusal(HttpAnswer(case["status"], {}, json.dumps(case["body"]).encode()))
    assert type(error) is getattr(studio, case["error"])
    assert (error.code, error.extra.get("input")) == (case["code"], case["input"])
    assert error.detail.startswith("ElevenLabs: ")


def test_refusal_that_is_no_json_is_one_too():
    assert refusal(HttpAnswer(404, {}, b"<html>")).code == "provider_rejected"


@cases("alignments.json")
def test_characters_become_words(case):
    found = [[word.text, word.start_ms, word.end_ms] for word in words_of(case["alignment"])]
    assert found == case["words"]


@pytest.mark.parametrize(
    ("rate", "speed"), [(165, 1.0), (198, 1.2), (400, 1.2), (116, 0.7), (10, 0.7), (150, 0.91)]
)
def test_rate_becomes_the_nearest_speed(rate, speed):
    assert speed_of(rate) == speed


def request(**changes):
    return VoiceRequest(**{"job_id": "j", "text": "hi", "voice": "v", "language": "de-AT"} | changes)


def test_body_has_nothing_that_nobody_asked_for():
    assert body_of(request(), "eleven_multilingual_v2") == {
        "text": "hi",
        "model_id": "eleven_multilingual_v2",
    }


def test_body_carries_what_was_asked_for():
    params = {"stability": 0.5, "similarity_boost": 0.8, "style": 0.0, "use_speaker_boost": True, "seed": 7}
    assert body_of(request(params=params, rate=198), "eleven_flash_v2_5") == {
        "text": "hi",
        "model_id": "eleven_flash_v2_5",
        "language_code": "de",
        "seed": 7,
        "voice_settings": {
            "stability": 0.5, "similarity_boost": 0.8, "style": 0.0, "use_speaker_boost": True, "speed": 1.2,
        },
    }  # fmt: skip


def test_speed_of_the_params_wins_over_the_rate():
    assert body_of(request(params={"speed": 0.9}, rate=198), "m")["voice_settings"] == {"speed": 0.9}


@pytest.mark.parametrize(
    "params",
    [
        {"stability": 1.1}, {"style": -0.1}, {"speed": 0.69}, {"speed": 1.21}, {"seed": -1}, {"seed": 2**32},
        {"stability": "0.5"}, {"base_url": "https://example.org"}, {"headers": {"xi-api-key": "k"}},
        {"api_key": "k"}, {"xi-api-key": "k"}, {"voice_id": "other"}, {"output_format": "wav_44100"},
        {"apply_text_normalization": "maybe"}, {"previous_text": "x" * 3_001}, {"stability": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_params_outside_the_list_are_refused(params):
    with pytest.raises(studio.ProviderRejectedError) as raised:
        body_of(request(params=params), "m")
    assert raised.value.extra["input"] == "params"


@pytest.mark.parametrize(
    ("output_format", "seconds"), [("mp3_44100_128", 2.0), ("mp3_44100_32", 1.0), ("wav_22050", 1.5)]
)
def test_length_is_that_of_the_audio(load_fake, output_format, seconds):
    sound = load_fake("elevenlabs").audio(output_format, seconds)
    assert length_ms(sound, output_format) == pytest.approx(seconds * 1000, rel=0.03)


def test_length_of_what_is_no_wav_is_unknown():
    assert length_ms(b"RIFFxxxx", "wav_44100") is None
