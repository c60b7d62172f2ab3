"""Lines and voices, against the vendor's fake, through the wrapper that features use."""

from __future__ import annotations

import json
import os

import pytest

import studio
from studio import (
    Actor,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    VoiceRequest,
)

pytestmark = pytest.mark.http
VOICE = "voice000000000000000"


def line(**changes):
    return VoiceRequest(**{"job_id": "job-1", "text": "Hello dark sky.", "voice": VOICE} | changes)


async def test_line_is_spoken_with_its_words(voice, fake):
    generation = await voice.submit(line())
    assert (generation.state, generation.provider_job_id) == ("succeeded", "job-1")
    file = generation.files[0]
    assert file.mime == "audio/mpeg"
    assert file.path.read_bytes()[:2] == b"\xff\xfb"
    assert [word.text for word in file.words] == ["Hello", "dark", "sky."]
    assert (file.words[1].start_ms, file.words[1].end_ms) == (360, 600)
    assert file.duration_ms == pytest.approx(900, abs=30)
    assert file.meta == {"request_id": "req0001", "ignored": []}
    assert generation.usage == {"characters": 15, "credits": 15}
    assert generation.cost_uusd is None
    call = fake.calls[0]
    assert (call.path, call.query) == (
        f"/v1/text-to-speech/{VOICE}/with-timestamps",
        "output_format=mp3_44100_128",
    )
    assert call.json == {"text": "Hello dark sky.", "model_id": "eleven_multilingual_v2"}


async def test_line_without_timestamps_is_plain_audio(open_voice, fake):
    async with open_voice(timestamps=False, output_format="wav_22050") as voice:
        file = (await voice.submit(line(pitch=70))).files[0]
    assert (file.mime, file.words, file.meta["ignored"]) == ("audio/wav", (), ["pitch"])
    assert file.duration_ms == 900
    assert fake.calls[0].path == f"/v1/text-to-speech/{VOICE}"


async def test_model_and_settings_of_the_request_reach_the_vendor(voice, fake):
    await voice.submit(line(model="eleven_flash_v2_5", rate=198, params={"stability": 0.4}, language="pt-BR"))
    assert fake.spoken == [
        {
            "text": "Hello dark sky.",
            "model_id": "eleven_flash_v2_5",
            "language_code": "pt",
            "voice_settings": {"stability": 0.4, "speed": 1.2},
        }
    ]


async def test_cost_is_computed_from_the_credits_that_were_reported(open_voice, fake):
    fake.cost = 0.5
    async with open_voice(credit_price_uusd=200_000, prices={"eleven_v3": 300_000}) as voice:
        generation = await voice.submit(line())
        assert generation.usage == {"characters": 15, "credits": 7}
        assert (generation.cost_uusd, generation.cost_source) == (1_400, "computed")
        assert voice.estimate(line(model="eleven_v3")).cost_uusd == 4_500
        assert voice.estimate(line()).cost_uusd is None
        priced = {model.name: (model.price_kind, model.unit_price_uusd) for model in voice.spec.models}
    assert priced["eleven_v3"] == ("per_1k_characters", 300_000)
    assert priced["eleven_multilingual_v2"] == ("unknown", None)


async def test_result_is_there_after_a_restart_and_gone_after_its_time(open_voice, tmp_path):
    async with open_voice() as voice:
        spoken = await voice.submit(line())
    async with open_voice() as voice:
        assert await voice.poll("job-1") == spoken
        assert await voice.cancel("job-1") is False
        os.utime(tmp_path / "work" / "job-1", (0, 0))
        await voice.submit(line(job_id="job-2"))
        with pytest.raises(ProviderRejectedError):
            await voice.poll("job-1")
        await voice.poll("job-2")


async def test_line_that_is_paid_is_not_lost_to_tidying(open_voice, tmp_path, monkeypatch):
    stray, old, new = (tmp_path / "work" / name for name in ("stray", "old", "job-1"))
    old.mkdir(parents=True)
    stray.symlink_to(tmp_path / "nowhere")  # cannot be looked at
    monkeypatch.setattr("pathlib.Path.iterdir", lambda _: iter((stray, old, new)))
    async with open_voice(keep_h=1e-9) as voice:  # whatever is there is old at once
        spoken = await voice.submit(line())
        assert not old.exists()
        assert spoken.files[0].path.stat().st_size > 1_000
        assert await voice.poll("job-1") == spoken


async def test_folder_that_cannot_be_listed_loses_no_line(open_voice, monkeypatch):
    def refuse(_):
        raise PermissionError("no")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    async with open_voice() as voice:
        assert (await voice.submit(line())).state == "succeeded"


@pytest.mark.parametrize("job_id", ["", "../x", "a/b", "nobody"])
async def test_poll_of_an_unknown_line_is_refused(voice, job_id):
    with pytest.raises(ProviderRejectedError) as raised:
        await voice.poll(job_id)
    assert raised.value.code == "unknown_job"


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"text": " \n"}, "text"),
        ({"text": "x" * 10_001}, "text"),
        ({"text": "x" * 3_001, "model": "eleven_v3"}, "text"),
        ({"voice": "../../v1/user"}, "voice"),
        ({"voice": ""}, "voice"),
        ({"model": "eleven_v9"}, "model"),
        ({"params": {"base_url": "http://example.org"}}, "params"),
    ],
)
async def test_what_the_vendor_cannot_speak_costs_no_call(voice, fake, changes, wrong):
    with pytest.raises(ProviderRejectedError) as raised:
        await voice.submit(line(**changes))
    assert raised.value.extra["input"] == wrong
    assert fake.calls == []


async def test_voice_that_the_account_lacks_is_refused_by_name(voice, fake):
    with pytest.raises(ProviderRejectedError) as raised:
        await voice.submit(line(voice="nobody"))
    assert (raised.value.code, raised.value.extra["input"]) == ("voice_not_found", "voice")
    assert fake.spoken == []


async def test_wrong_key_is_said_and_never_shown(open_voice, fake):
    async with open_voice(api_key="sk_wrong_key_123456") as voice:
        with pytest.raises(ProviderUnavailableError) as raised:
            await voice.submit(line())
    assert raised.value.code == "provider_key_refused"
    assert "sk_wrong" not in raised.value.detail


async def test_empty_quota_is_no_reason_to_try_again(voice, fake):
    fake.quota = 3
    with pytest.raises(ProviderRejectedError) as raised:
        await voice.submit(line())
    assert raised.value.code == "provider_quota_exceeded"


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("429", ProviderError), ("500", OutcomeUnknownError), ("413", ProviderRejectedError),
        ("422", ProviderRejectedError), ("cut", OutcomeUnknownError), ("lost", OutcomeUnknownError),
        ("malformed", OutcomeUnknownError), ("wrong_type", OutcomeUnknownError), ("redirect", ProviderRejectedError),
    ],
)  # fmt: skip
async def test_line_is_sent_once_whatever_goes_wrong(voice, fake, mode, error):
    fake.fail(mode, "text-to-speech")
    with pytest.raises(error) as raised:
        await voice.submit(line())
    assert type(raised.value) is error
    assert len(fake.asked("POST")) == 1
    if mode == "429":
        assert raised.value.retry_after == 1


@pytest.mark.parametrize("mode", ["late", "endless"])
async def test_line_that_takes_too_long_has_an_unknown_outcome(open_voice, fake, mode):
    fake.fail(mode, "text-to-speech")
    async with open_voice(deadline_s=0.15) as voice:
        with pytest.raises(OutcomeUnknownError):
            await voice.submit(line())
    assert len(fake.asked("POST")) == 1


async def test_answer_beyond_the_limit_is_not_read(open_voice, fake):
    fake.fail("huge", "text-to-speech")
    async with open_voice(max_audio_bytes=1_000_000) as voice:
        with pytest.raises(OutcomeUnknownError, match="larger than"):
            await voice.submit(line())


async def test_plain_answer_that_is_no_audio_has_an_unknown_outcome(open_voice, fake):
    fake.fail("wrong_type", "text-to-speech")
    async with open_voice(timestamps=False) as voice:
        with pytest.raises(OutcomeUnknownError):
            await voice.submit(line())


# ---------------------------------------------------------------- voices


async def test_voices_come_from_every_page(open_voice, fakes, fake):
    fake.voices = [fakes.voice(number) for number in range(205)]
    async with open_voice() as voice:
        found = await voice.voices()
    assert [one.id for one in found] == [one["voice_id"] for one in fake.voices]
    assert found[1].model_dump() == {
        "id": "voice000000000000001", "name": "Voice 1", "language": "en", "gender": "female",
        "tags": ("premade", "british", "young"),
    }  # fmt: skip
    assert [call.query for call in fake.calls] == [
        "page_size=100", "page_size=100&next_page_token=100", "page_size=100&next_page_token=200",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "verified", "language"),
    [
        ({}, [{"language": "de"}], "de"), ({"language": "en"}, [], "en"), ({}, None, ""), ({}, "de", ""),
        ({}, [{"language": "en", "locale": "en-US"}, {"language": "en", "locale": "en-GB"}], "en"),
        ({"language": "en"}, [{"language": "en"}, {"language": "de"}, 7, {}], ""),
    ],
)  # fmt: skip
async def test_voice_of_several_languages_is_offered_for_each(voice, fake, labels, verified, language):
    fake.voices = [fake.voices[0] | {"labels": labels, "verified_languages": verified}]
    assert [one.language for one in await voice.voices()] == [language]


async def test_list_of_voices_is_asked_for_again_after_an_outage(voice, fake):
    fake.fail("500", "voices", times=2)
    assert len(await voice.voices()) == 3
    assert len(fake.asked("GET")) == 3


@pytest.mark.parametrize(
    "page",
    [{"voices": None}, {"voices": [7, {"voice_id": ""}, {"voice_id": "v", "labels": 3}], "has_more": 1}],
)
async def test_odd_list_of_voices_breaks_nothing(voice, fake, monkeypatch, page):
    from aiohttp import web

    async def answer(request):
        return web.json_response(page)

    monkeypatch.setattr(fake, "_break", lambda *_: answer(None))
    fake.fail("500", "voices", times=9)
    if page["voices"] is None:
        with pytest.raises(ProviderError):
            await voice.voices()
    else:
        assert [one.id for one in await voice.voices()] == ["v"]


# ---------------------------------------------------------------- configuration


async def test_without_a_key_it_says_what_to_set_and_is_not_imported(started):
    async with started() as platform:
        row = next(row for row in platform.services.providers.describe() if row["provider"] == "elevenlabs")
        with pytest.raises(ProviderUnavailableError, match="set STUDIO_ELEVENLABS__API_KEY"):
            platform.services.providers.get("voice", "elevenlabs")
    assert (row["available"], row["reason"]) == (False, "set STUDIO_ELEVENLABS__API_KEY")


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org", "http://api.elevenlabs.io", "https://api.elevenlabs.io.example.org", "ftp://127.0.0.1",
        "https://api.elevenlabs.io@example.org", "http://user:pw@127.0.0.1", "http://127.0.0.1/?x=1", "127.0.0.1",
        "http://169.254.169.254",
    ],
)  # fmt: skip
async def test_address_is_the_vendors_or_on_this_machine(started, address):
    with pytest.raises(studio.ConfigError, match="base_url"):
        async with started(STUDIO_ELEVENLABS__BASE_URL=address):
            pass


@pytest.mark.parametrize(
    ("region", "host"), [("global", "api.elevenlabs.io"), ("eu", "api.eu.residency.elevenlabs.io")]
)
def test_region_names_the_host(region, host):
    from studio_elevenlabs.settings import ElevenLabsSettings

    assert ElevenLabsSettings(region=region).address == f"https://{host}"


async def test_preview_is_held_and_spoken(started, fake, fakes):
    named = {"STUDIO_ELEVENLABS__BASE_URL": fake.url, "ELEVENLABS_API_KEY": fakes.KEY}
    async with started(**named) as platform:
        generation = await platform.services.providers.generate_now("voice", line(), Actor("u"), "p")
    assert generation.files[0].path.stat().st_size > 1_000
    assert json.loads(generation.model_dump_json())["usage"]["characters"] == 15
