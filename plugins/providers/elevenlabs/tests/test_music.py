"""Beds: what is asked of the vendor, what comes back, what it costs."""

from __future__ import annotations

from functools import partial

import pytest

from studio import (
    MusicRequest,
    OutcomeUnknownError,
    ProviderRejectedError,
    ProviderUnavailableError,
    price_of,
)

pytestmark = pytest.mark.http


@pytest.fixture
def open_music(open_provider):
    return partial(open_provider, "music")


def bed(**changed):
    return MusicRequest(
        **{"job_id": "bed-1", "duration_ms": 12_000, "mood": "tense", "tempo_bpm": 90} | changed
    )


async def test_a_bed_is_asked_for_by_mood_and_length_without_voices(open_music, fake):
    async with open_music() as music:
        generation = await music.submit(bed(seed=7))
    (call,) = fake.asked("POST")
    assert (call.path, call.query) == ("/v1/music", "output_format=mp3_44100_128")
    assert call.json == {
        "prompt": "tense instrumental film music, 90 bpm", "music_length_ms": 12_000, "model_id": "music_v2",
        "force_instrumental": True,
    }  # fmt: skip
    (file,) = generation.files
    assert (generation.state, file.mime, file.path.name) == ("succeeded", "audio/mpeg", "music.mp3")
    assert file.duration_ms == pytest.approx(12_000, abs=60)
    assert file.meta == {"song_id": "song0001", "request_id": "req0001", "ignored": ["seed"]}
    assert generation.usage == {"calls": 1, "seconds": 12, "credits": 1200}


async def test_a_bed_is_there_for_another_process(open_music):
    async with open_music() as music:
        made = await music.submit(bed())
    async with open_music() as another:
        assert await another.poll(made.provider_job_id) == made
        with pytest.raises(ProviderRejectedError):
            await another.poll("another")
        assert await another.cancel(made.provider_job_id) is False


async def test_a_short_bed_is_as_long_as_the_shortest_that_the_vendor_makes(open_music, fake):
    async with open_music(music_format="mp3_48000_192") as music:
        await music.submit(bed(duration_ms=500, prompt="A low drone", model="music_v2_5"))
    (call,) = fake.asked("POST")
    assert call.query == "output_format=mp3_48000_192"
    assert [call.json[name] for name in ("prompt", "music_length_ms", "model_id")] == [
        "A low drone", 3000, "music_v2_5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"duration_ms": 600_001}, "duration_ms"),
        ({"duration_ms": 0}, "duration_ms"),
        ({"params": {"composition_plan": {}}}, "params"),
        ({"model": "music_v9"}, "model"),
    ],
)
async def test_what_the_vendor_cannot_compose_is_not_sent(open_music, fake, changed, named):
    async with open_music() as music:
        with pytest.raises(ProviderRejectedError) as raised:
            await music.submit(bed(**changed))
    assert raised.value.extra["input"] == named
    assert fake.calls == []


async def test_an_id_that_is_no_folder_is_refused_before_anything_is_paid(open_music, fake):
    async with open_music() as music:
        with pytest.raises(ProviderRejectedError):
            await music.submit(bed(job_id="../bed"))
    assert fake.calls == []


async def test_a_prompt_that_is_not_allowed_is_named(open_music, fake):
    async with open_music() as music:
        with pytest.raises(ProviderRejectedError) as raised:
            await music.submit(bed(prompt="A song in the style of somebody"))
    assert (raised.value.code, raised.value.extra["input"]) == ("content_policy_violation", "prompt")
    assert fake.composed == []


async def test_no_quota_and_a_bad_key_are_told_apart(open_music, fake):
    fake.quota = 10
    async with open_music() as music:
        with pytest.raises(ProviderRejectedError) as raised:
            await music.submit(bed())
    assert raised.value.code == "provider_quota_exceeded"
    async with open_music(api_key="another") as music:
        with pytest.raises(ProviderUnavailableError):
            await music.submit(bed())


async def test_a_yes_without_music_is_charged_and_not_sent_again(open_music, fake):
    fake.silent = True
    async with open_music() as music:
        with pytest.raises(OutcomeUnknownError):
            await music.submit(bed())
    assert len(fake.calls) == 1


async def test_cost_is_by_credits_or_by_seconds_or_unknown(open_music, fake):
    async with open_music(credit_price_uusd=200_000) as music:
        generation = await music.submit(bed())
        assert (generation.cost_uusd, generation.cost_source) == (240_000, "computed")
    async with open_music(music_prices={"music_v2": 5_000}) as music:
        generation = await music.submit(bed(job_id="bed-2"))
        assert (generation.cost_uusd, generation.usage["seconds"]) == (None, 12)  # priced by the declaration
        assert price_of(music.spec.models[0], generation.usage) == 60_000
        assert music.estimate(bed(duration_ms=11_001)).cost_uusd == 60_000
        assert music.estimate(bed(model="music_v1")).cost_uusd is None
        assert "music_v1 in elevenlabs.music_prices" in music.estimate(bed(model="music_v1")).note
    fake.music_cost = False
    async with open_music(credit_price_uusd=200_000) as music:
        generation = await music.submit(bed(job_id="bed-3"))
        assert generation.cost_uusd is None
