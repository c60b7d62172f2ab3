"""The mix of voices and music: times, peaks, seams, ends."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from studio_local.film import track
from studio_local.film.track import mix_track

pytestmark = pytest.mark.child
RATE = 48_000


def write(path, samples, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return str(path)


def tone(seconds, hertz, level):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def mixed(tmp_path, voices, music, seconds):
    out = tmp_path / "mix.raw"
    laid = [{"start": round(start * RATE), "path": path} for start, path in voices]
    order = {"voices": laid, "music": music, "samples": round(seconds * RATE), "out": str(out)}
    mix_track(order)
    return np.fromfile(out, "<i2").reshape(-1, 2) / 32768


def test_silence_is_as_long_as_asked_for(tmp_path):
    heard = mixed(tmp_path, [], None, 1.23456)
    assert len(heard) == round(1.23456 * RATE)
    assert not heard.any()


def test_voice_stands_at_its_sample_and_what_passes_the_end_is_cut(tmp_path):
    voice = write(tmp_path / "v.wav", tone(1, 500, 0.3))
    heard = mixed(tmp_path, [(0.5001, voice), (1.8, voice)], None, 2)
    assert not heard[: round(0.5001 * RATE)].any()
    assert np.abs(heard[round(0.5001 * RATE) : round(1.5 * RATE)]).max() == pytest.approx(0.3, abs=0.001)
    assert len(heard) == 2 * RATE


def test_voices_that_overlap_stay_below_the_limit_without_a_click(tmp_path):
    loud = write(tmp_path / "v.wav", tone(3, 200, 0.8))
    heard = mixed(tmp_path, [(0, loud), (1.0, loud)], None, 4)[:, 0]
    assert np.abs(heard).max() <= 0.841
    steepest = np.abs(np.diff(heard)).max()
    assert steepest < 1.7 * 2 * np.pi * 200 / RATE
    assert np.abs(heard[round(0.2 * RATE) : round(0.9 * RATE)]).max() == pytest.approx(0.8, abs=0.01)


def test_music_is_repeated_ducked_and_faded(tmp_path):
    music = write(tmp_path / "m.wav", np.repeat(tone(2, 300, 0.2), 2), channels=2)
    voice = write(tmp_path / "v.wav", tone(3, 2000, 0.3))
    heard = mixed(tmp_path, [(8, voice)], music, 20)[:, 0]

    def bed(second):
        part = heard[round(second * RATE) : round((second + 0.5) * RATE)]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)))) / len(part) * 4
        return spectrum[150]

    assert bed(4) == pytest.approx(0.2, rel=0.1)
    assert bed(9) < 0.07
    assert bed(13) == pytest.approx(0.2, rel=0.15)
    assert bed(0) < 0.06
    assert bed(19.5) < 0.06
    assert np.abs(heard[-20:]).max() < 0.001


@pytest.mark.parametrize("channels", [1, 2])
def test_film_in_pieces_sounds_as_in_one(tmp_path, monkeypatch, channels):
    rng = np.random.default_rng(5)
    voice = write(tmp_path / "v.wav", rng.normal(0, 0.3, 2 * RATE).clip(-0.9, 0.9))
    music = write(tmp_path / "m.wav", rng.normal(0, 0.2, round(1.7 * RATE) * channels), channels)
    voices = [(0.3, voice), (1.9, voice), (3.123, voice)]
    whole = mixed(tmp_path, voices, music, 6.0001)
    monkeypatch.setattr(track, "_PIECE", 777)
    pieces = mixed(tmp_path, voices, music, 6.0001)
    assert np.abs(whole - pieces).max() <= 2 / 32768
    assert np.abs(whole).max() > 0.8


def test_music_without_a_sample_is_silence(tmp_path):
    assert not mixed(tmp_path, [], write(tmp_path / "m.wav", np.zeros(0)), 0.5).any()
