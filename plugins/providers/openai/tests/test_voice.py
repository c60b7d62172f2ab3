"""Voices: the file, its length, the speed, and what is refused."""

from __future__ import annotations

import pytest

from studio import ModelSpec, OutcomeUnknownError, ProviderRejectedError, VoiceRequest, price_of
from studio_openai.voice import speed_of, wav_ms

pytestmark = pytest.mark.http


def say(text="It rains.", **more):
    return VoiceRequest(job_id="v1-1", **{"text": text, "voice": "coral"} | more)


async def test_a_line_is_spoken_into_a_file_of_known_length(provider, fake):
    prices = {"tts-1": {"kind": "per_1k_characters", "unit_uusd": 15_000}}
    voice = provider("voice", fake, prices=prices)
    done = await voice.submit(say(model="tts-1", rate=330))
    file = done.files[0]
    assert (file.mime, file.duration_ms, file.path.suffix) == ("audio/wav", 500, ".wav")
    assert file.path.stat().st_size == 44 + 24_000
    assert (done.usage, done.cost_uusd) == ({"characters": 9, "calls": 1}, None)
    spoken = ModelSpec("tts-1", "per_1k_characters", 15_000)
    assert price_of(spoken, done.usage) == 135
    assert voice.estimate(say(model="tts-1")).cost_uusd == 135
    sent = {"model": "tts-1", "input": "It rains.", "voice": "coral", "response_format": "wav", "speed": 2.0}
    assert fake.calls[0].json == sent
    assert done.provider_job_id.startswith("req_")


async def test_another_format_and_a_voice_of_ones_own(provider, fake):
    request = say(voice="voice_1234", params={"response_format": "mp3", "instructions": "Whisper."})
    file = (await provider("voice", fake).submit(request)).files[0]
    assert (file.mime, file.duration_ms, file.path.suffix) == ("audio/mpeg", None, ".mp3")
    assert fake.calls[0].json["voice"] == {"id": "voice_1234"}
    assert fake.calls[0].json["instructions"] == "Whisper."


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"text": ""}, "text"),
        ({"text": "x" * 4097}, "text"),
        ({"voice": "corral"}, "voice"),
        ({"model": "tts-1", "params": {"instructions": "x"}}, "params"),
        ({"params": {"stream_format": "sse"}}, "params"),
        ({"params": {"input": "another text"}}, "params"),
    ],
)
async def test_what_would_be_refused_is_not_sent(provider, fake, changed, named):
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("voice", fake).submit(say(**changed))
    assert caught.value.extra["input"] == named
    assert fake.calls == []


async def test_every_voice_that_is_offered_can_speak(provider, fake):
    voice = provider("voice", fake)
    offered = await voice.voices()
    assert len(offered) == 10
    for found in offered:
        assert (await voice.submit(say(voice=found.id))).state == "succeeded"


@pytest.mark.parametrize("mode", ["malformed", "wrong_type"])
async def test_json_in_place_of_a_voice_is_never_kept(provider, fake, mode, tmp_path):
    fake.fail(mode)
    with pytest.raises(OutcomeUnknownError):
        await provider("voice", fake).submit(say())
    assert not (tmp_path / "out").exists()


async def test_a_voice_cannot_be_asked_for_later(provider, fake):
    with pytest.raises(ProviderRejectedError):
        await provider("voice", fake).poll("req_1")
    assert await provider("voice", fake).cancel("req_1") is False


@pytest.mark.pure
@pytest.mark.parametrize(("rate", "speed"), [(165, 1.0), (330, 2.0), (1, 0.25), (10_000, 4.0), (150, 0.91)])
def test_words_per_minute_become_a_speed(rate, speed):
    assert speed_of(rate) == speed


@pytest.mark.pure
@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"RIFF\xff\xff\xff\xffWAVEdata\x04\x00\x00\x00abcd", b"ID3" * 30]
)
def test_the_length_of_what_is_no_wav_is_unknown(data):
    assert wav_ms(data) is None
