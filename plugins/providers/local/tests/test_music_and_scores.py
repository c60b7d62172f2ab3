"""Music beds and image scores."""

from __future__ import annotations

import wave

import numpy as np
import pytest
from PIL import Image, ImageFilter

from studio import MusicRequest, ProviderRejectedError, ScoreRequest
from studio_local.music import LocalMusicGenerator
from studio_local.score import LocalAssetScorer
from studio_local.synth import MOODS, compose_bed

pytestmark = pytest.mark.child


def bed(tmp_path, mood="neutral", seed=1, duration_ms=6000):
    path = tmp_path / f"{mood}{seed}.wav"
    compose_bed({"out": str(path), "mood": mood, "seed": seed, "tempo_bpm": 100, "duration_ms": duration_ms})
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
        return samples.astype(float), file.getframerate()


def test_same_seed_gives_the_same_music_and_another_does_not(tmp_path):
    first, again, other = bed(tmp_path)[0], bed(tmp_path)[0], bed(tmp_path, seed=2)[0]
    assert (first == again).all()
    assert (first != other).any()


def test_bed_is_exactly_as_long_as_asked_for(tmp_path):
    samples, rate = bed(tmp_path, duration_ms=5321)
    assert len(samples) == 5321 * rate // 1000


@pytest.mark.parametrize("mood", sorted(MOODS))
def test_every_mood_sounds_without_clipping_and_fades_at_both_ends(tmp_path, mood):
    samples, rate = bed(tmp_path, mood)
    assert np.abs(samples).max() < 32000
    assert np.sqrt((samples[2 * rate : 3 * rate] ** 2).mean()) > 400
    assert np.abs(samples[:50]).max() < 200
    assert np.abs(samples[-50:]).max() < 200


def test_bright_music_is_brighter_than_dark_music(tmp_path):
    def centre(mood):
        samples, rate = bed(tmp_path, mood)
        power = np.abs(np.fft.rfft(samples.mean(axis=1))) ** 2
        return (power * np.fft.rfftfreq(len(samples), 1 / rate)).sum() / power.sum()

    assert centre("bright") > centre("dark") * 1.2


async def test_provider_composes_a_stereo_wav(warm, tools):
    done = await tools.finished(
        LocalMusicGenerator(warm), MusicRequest(job_id="m1", duration_ms=4000, mood="tense")
    )
    with wave.open(str(done.files[0].path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 44100)
    assert done.files[0].duration_ms == 4000


@pytest.mark.parametrize("change", [{"duration_ms": 10}, {"tempo_bpm": 2}])
async def test_lengths_and_tempi_out_of_reach_are_refused(warm, change):
    with pytest.raises(ProviderRejectedError) as caught:
        await LocalMusicGenerator(warm).submit(
            MusicRequest(**({"job_id": "m2", "duration_ms": 4000} | change))
        )
    assert caught.value.extra["input"] in change


async def scores(warm, tools, job_id, image):
    done = await tools.finished(LocalAssetScorer(warm), ScoreRequest(job_id=job_id, image=image))
    assert done.state == "succeeded", done.error
    return {score["scorer"]: score for score in done.data["scores"]}


async def test_blurred_image_scores_lower_in_sharpness(warm, tools, tmp_path):
    sharp = tools.still(tmp_path / "sharp.png")
    with Image.open(sharp) as image:
        image.filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "soft.png")
    high, low = [await scores(warm, tools, f"s-{n}", tmp_path / f"{n}.png") for n in ("sharp", "soft")]
    assert low["sharpness"]["score"] < high["sharpness"]["score"] / 3
    assert "soft" in low["sharpness"]["reason"]


@pytest.mark.parametrize(
    ("level", "word"), [(2, "underexposed"), (253, "overexposed"), (120, "well exposed")]
)
async def test_exposure_and_contrast_have_reasons(warm, tools, tmp_path, level, word):
    Image.new("RGB", (200, 120), (level,) * 3).save(tmp_path / "flat.png")
    found = await scores(warm, tools, f"e-{level}", tmp_path / "flat.png")
    assert word in found["exposure"]["reason"]
    assert found["contrast"]["score"] == 0
    assert all(0 <= score["score"] <= 1 for score in found.values())


async def test_file_that_is_no_image_fails_naming_the_image(warm, tools, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    done = await tools.finished(LocalAssetScorer(warm), ScoreRequest(job_id="s-no", image=tmp_path / "x.png"))
    assert (done.state, done.error.code, done.error.input) == ("failed", "provider_rejected", "image")
    assert not done.error.retryable


async def test_missing_image_is_refused_at_submit(warm, tmp_path):
    with pytest.raises(ProviderRejectedError):
        await LocalAssetScorer(warm).submit(ScoreRequest(job_id="s-gone", image=tmp_path / "gone.png"))
