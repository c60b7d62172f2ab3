"""Voices: real engine, its own timings, one process per engine."""

from __future__ import annotations

import asyncio
import importlib.util
import wave
from pathlib import Path

import pytest

from studio import ProviderRejectedError, ProviderUnavailableError, VoiceRequest
from studio_local.espeak_child import timed_words
from studio_local.runtime import runtime_of
from studio_local.voice import LocalVoiceGenerator

pytestmark = pytest.mark.child
LINE = "Well, he said (quietly): it's 42 o'clock — isn't it?"


def ask(job_id, text=LINE, voice="en-us+f3", **changes):
    return VoiceRequest(job_id=job_id, text=text, voice=voice, **changes)


async def test_words_are_monotonic_inside_the_file_and_make_up_the_text(warm, tools):
    file = (await tools.finished(LocalVoiceGenerator(warm), ask("v1"))).files[0]
    assert " ".join(word.text for word in file.words) == LINE
    times = [time for word in file.words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert times[-1] <= file.duration_ms
    assert all(word.end_ms > word.start_ms for word in file.words)


async def test_file_is_mono_at_22050_and_as_long_as_said(warm, tools):
    file = (await tools.finished(LocalVoiceGenerator(warm), ask("v2"))).files[0]
    with wave.open(str(file.path)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (22050, 1, 2)
        assert abs(sound.getnframes() * 1000 / 22050 - file.duration_ms) < 1.1
        assert max(abs(b) for b in sound.readframes(sound.getnframes())[1::2]) > 20


async def test_first_line_of_a_new_engine_has_its_first_word(fresh, tools):
    file = (await tools.finished(LocalVoiceGenerator(fresh()), ask("v3", "He is here."))).files[0]
    assert [word.text for word in file.words] == ["He", "is", "here."]
    assert file.words[0].start_ms < 100


async def test_voice_that_does_not_exist_names_close_ones_that_do(warm):
    provider = LocalVoiceGenerator(warm)
    with pytest.raises(ProviderRejectedError) as caught:
        await provider.submit(ask("v4", voice="en-gb+m3"))
    assert caught.value.extra["input"] == "voice"
    named = caught.value.detail.split("Close to it: ")[1].rstrip(".").split(", ")
    known = {voice.id for voice in await provider.voices()}
    assert named
    assert set(named) <= known
    assert all(name.startswith("en") and name.endswith("+m3") for name in named)


async def test_unknown_variant_and_unknown_language_are_refused(warm):
    for voice in ("en-us+zzz", "tlh-none"):
        with pytest.raises(ProviderRejectedError):
            await LocalVoiceGenerator(warm).submit(ask("v5", voice=voice))


async def test_every_language_in_the_list_can_be_spoken(warm):
    runtime = runtime_of(warm)
    provider = LocalVoiceGenerator(warm)
    bases, _ = await provider._catalogue()
    assert len(bases) > 100
    sample = [bases[name]["identifier"] for name in ("en", "en-us", "de", "fr", "hi", "cmn", "es", "pt-br")]
    for number, voice in enumerate(sample):
        out = runtime.settings.work_dir / f"{number}.wav"
        spoken = await runtime.espeak.call(
            "speak",
            {"text": "one two", "voice": voice, "rate": 300, "pitch": 50, "out": str(out)},
            deadline_s=10,
        )
        assert spoken["duration_ms"] > 100


async def test_list_holds_languages_variants_and_genders(warm):
    voices = {voice.id: voice for voice in await LocalVoiceGenerator(warm).voices()}
    assert voices["en-us+f3"].gender == "female"
    assert voices["de+m3"].language == "de"
    assert voices["en-us+f3"].tags == ("f3",)


async def test_rate_and_pitch_are_heard(warm, tools):
    provider = LocalVoiceGenerator(warm)
    slow, fast, high = [
        (await tools.finished(provider, ask(f"v6{i}", **change))).files[0]
        for i, change in enumerate(({"rate": 100}, {"rate": 300}, {"rate": 100, "pitch": 100}))
    ]
    assert slow.duration_ms > 1.5 * fast.duration_ms
    assert slow.path.read_bytes() != high.path.read_bytes()


async def test_language_speaks_when_no_voice_is_named(warm, tools):
    spoken = await tools.finished(LocalVoiceGenerator(warm), ask("v7", "Guten Tag.", voice="", language="de"))
    assert spoken.state == "succeeded"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"text": "  "}, "text"),
        ({"text": "x" * 6000}, "text"),
        ({"rate": 5}, "voice"),
        ({"pitch": 300}, "voice"),
    ],
)
async def test_unspeakable_requests_are_refused(warm, change, part):
    with pytest.raises(ProviderRejectedError) as caught:
        await LocalVoiceGenerator(warm).submit(ask("v8", **({"text": "Hi."} | change)))
    assert caught.value.extra["input"] == part


async def test_lines_are_spoken_side_by_side_in_two_processes(warm, tools):
    provider = LocalVoiceGenerator(warm)
    lines = [f"This is line number {i}, and no other." for i in range(6)]
    done = await asyncio.gather(
        *(tools.finished(provider, ask(f"v9{i}", line)) for i, line in enumerate(lines))
    )
    assert [" ".join(w.text for w in g.files[0].words) for g in done] == lines


async def test_equal_lines_give_equal_files_whatever_was_said_between(warm, tools):
    provider = LocalVoiceGenerator(warm)
    said = ["The lamp is out again.", "Who goes there?", "The lamp is out again."]
    files = [
        (await tools.finished(provider, ask(f"same{number}", line, voice="en-us+m3")))
        .files[0]
        .path.read_bytes()
        for number, line in enumerate(said)
    ]
    assert files[0] == files[2] != files[1]


def loaded_libraries():
    return Path("/proc/self/maps").read_text()


async def test_library_is_never_loaded_into_the_server(warm, tools):
    await tools.finished(LocalVoiceGenerator(warm), ask("v10"))
    assert "libespeak" not in loaded_libraries()


async def test_missing_wheel_says_how_to_install_it(fresh, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "espeakng_loader" else real(name)
    )
    with pytest.raises(ProviderUnavailableError, match=r"pip install 'studio-provider-local\[media\]'"):
        await LocalVoiceGenerator(fresh()).submit(ask("v11"))


async def test_engine_that_is_killed_while_it_speaks_fails_one_line(fresh, tools):
    ctx = fresh(processes=1)
    provider, pool = LocalVoiceGenerator(ctx), runtime_of(ctx).espeak
    await provider.voices()
    speaking = asyncio.create_task(tools.finished(provider, ask("v12", "One more word. " * 300)))
    while not pool._busy:
        await asyncio.sleep(0)
    next(iter(pool._busy)).process.kill()
    broken = await speaking
    assert (broken.state, broken.error.retryable) == ("failed", True)
    assert (await tools.finished(provider, ask("v13", "Two."))).state == "succeeded"


def test_unspoken_signs_belong_to_the_word_before():
    words = timed_words("— Yes — and 42!", [(2, 3, 10), (8, 3, 200), (12, 1, 300), (13, 1, 350)], 500)
    assert [(w["text"], w["start_ms"], w["end_ms"]) for w in words] == [
        ("— Yes —", 10, 200), ("and", 200, 300), ("42!", 300, 500),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["...", "—", "?!", "…"])
async def test_line_of_signs_only_is_a_second_of_silence(warm, tools, text):
    spoken = await tools.finished(LocalVoiceGenerator(warm), ask(f"signs{ord(text[0])}", text))
    assert spoken.state == "succeeded", spoken.error
    (file,) = spoken.files
    assert file.duration_ms == 1000
    assert [(word.text, word.start_ms, word.end_ms) for word in file.words] == [(text, 0, 1000)]


async def test_chinese_is_spoken_by_mandarin(warm, tools):
    provider = LocalVoiceGenerator(warm)
    fitting = [voice.id for voice in await provider.voices() if voice.language.split("-")[0] == "zh"]
    assert "cmn" in fitting
    assert "yue" not in fitting
    assert (await tools.finished(provider, ask("zh1", "你好", "zh+f1"))).state == "succeeded"
