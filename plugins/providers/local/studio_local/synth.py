"""The music bed: pads, bass, a slow melody and soft percussion, synthesised in a worker process."""

from __future__ import annotations

import random
import wave
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

RATE = 44_100
Signal: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"


@dataclass(frozen=True, slots=True)
class Mood:
    """What a mood sounds like: scale in semitones, chords by scale degree, brightness 0-1, percussion 0-1."""

    root: int
    scale: tuple[int, ...]
    chords: tuple[tuple[int, ...], ...]
    bright: float
    beat: float
    melody: float


_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_DORIAN, _PHRYGIAN, _LYDIAN = (0, 2, 3, 5, 7, 9, 10), (0, 1, 3, 5, 7, 8, 10), (0, 2, 4, 6, 7, 9, 11)
MOODS = {
    "neutral": Mood(48, _DORIAN, ((0, 3, 6, 4), (0, 4, 3, 6)), 0.4, 0.35, 0.5),
    "tense": Mood(45, _PHRYGIAN, ((0, 1, 0, 5), (0, 0, 1, 4)), 0.35, 0.8, 0.2),
    "warm": Mood(50, _MAJOR, ((0, 4, 5, 3), (0, 3, 0, 4)), 0.45, 0.25, 0.6),
    "sad": Mood(45, _MINOR, ((0, 5, 2, 6), (0, 3, 5, 4)), 0.25, 0.0, 0.7),
    "bright": Mood(52, _LYDIAN, ((0, 1, 4, 3), (0, 4, 1, 5)), 0.7, 0.6, 0.8),
    "dark": Mood(41, _MINOR, ((0, 0, 5, 1), (0, 6, 5, 0)), 0.15, 0.3, 0.1),
}


def compose_bed(payload: dict[str, Any]) -> dict[str, Any]:
    """Write `duration_ms` of music (stereo, 44.1 kHz, 16 bit) to `out`; equal payloads give equal bytes."""
    rng = random.Random(f"{payload['seed']}:{payload['mood']}")  # noqa: S311 - music, no secret
    mood = MOODS[payload["mood"]]
    samples = payload["duration_ms"] * RATE // 1000
    bar_s = 240 / payload["tempo_bpm"]
    with wave.open(payload["out"], "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", "not compressed"))
        _write_bars(file, mood, bar_s, samples, rng)
    return {"duration_ms": payload["duration_ms"]}


def _write_bars(file: wave.Wave_write, mood: Mood, bar_s: float, samples: int, rng: random.Random) -> None:
    """Write bar after bar, each ringing into the next: an hour of music needs the memory of two bars."""
    length, tail = int(bar_s * RATE), int(bar_s * RATE)
    chords = rng.choice(mood.chords)
    ringing = np.zeros((length + tail, 2), np.float32)
    done, bar = 0, 0
    while done < samples:
        ringing += _bar(mood, chords[bar % len(chords)], bar, length, tail, rng)
        ready = ringing[: min(length, samples - done)]
        faded = ready * _edges(done, len(ready), samples)[:, None]
        file.writeframes((np.tanh(faded * 0.9) * 30000).astype("<i2").tobytes())
        done += len(ready)
        ringing = np.concatenate([ringing[length:], np.zeros((length, 2), np.float32)])
        bar += 1


def _edges(first: int, count: int, total: int) -> Signal:
    """Return the fade in (1.5 s) and out (3 s) for samples `first` on."""
    at = np.arange(first, first + count, dtype=np.float32)
    rising, falling = np.clip(at / (1.5 * RATE), 0, 1), np.clip((total - at) / (3 * RATE), 0, 1)
    return np.asarray(np.minimum(rising, falling), dtype=np.float32)


def _bar(mood: Mood, degree: int, bar: int, length: int, tail: int, rng: random.Random) -> Signal:
    """Return one bar with its ring, stereo."""
    out = np.zeros((length + tail, 2), np.float32)
    for voice, step in enumerate((0, 2, 4, 6 if rng.random() < mood.bright else 7)):
        note = _pad(_hertz(mood, degree + step), length + tail // 2, mood.bright, rng)
        _add(out, note * 0.075, 0, (voice - 1.5) * 0.45)
    for beat in (0.0, 0.5) if mood.beat else (0.0,):
        _add(out, _bass(_hertz(mood, degree - 14), length // 2, rng) * 0.2, int(beat * length), 0.0)
    _melody(out, mood, degree, length, rng)
    if mood.beat and bar > 0:
        _percussion(out, mood, length, rng)
    return out


def _hertz(mood: Mood, degree: int) -> float:
    octave, step = divmod(degree, len(mood.scale))
    return float(440.0 * 2 ** ((mood.root + 12 * octave + mood.scale[step] - 57) / 12))


def _pad(hertz: float, count: int, bright: float, rng: random.Random) -> Signal:
    """Return a soft chord tone: three detuned voices of a few partials, swelling slowly."""
    t = np.arange(count, dtype=np.float32) / RATE
    tone = np.zeros(count, np.float32)
    for cents in (-5, 0, 6):
        phase = 2 * np.pi * hertz * 2 ** (cents / 1200) * t + rng.random() * 6.28
        for partial, level in ((1, 1.0), (2, 0.3 + 0.3 * bright), (3, 0.2 * bright), (4, 0.12 * bright)):
            tone += np.sin(phase * partial).astype(np.float32) * np.float32(level)
    swell = np.sin(np.pi * np.clip(np.arange(count, dtype=np.float32) / count, 0, 1)) ** 0.7
    return np.asarray(tone * swell, dtype=np.float32)


def _bass(hertz: float, count: int, rng: random.Random) -> Signal:
    t = np.arange(count, dtype=np.float32) / RATE
    phase = 2 * np.pi * hertz * t + rng.random() * 0.1
    shape = np.minimum(t * 40, 1) * np.exp(-t * 1.6)
    return np.asarray((np.sin(phase) + 0.35 * np.sin(2 * phase)) * shape, dtype=np.float32)


def _melody(out: Signal, mood: Mood, degree: int, length: int, rng: random.Random) -> None:
    """Add a few bell-like notes of the chord, high and quiet."""
    for eighth in range(8):
        if rng.random() > mood.melody * 0.35:
            continue
        hertz = _hertz(mood, degree + rng.choice((7, 9, 11, 14)))
        t = np.arange(length, dtype=np.float32) / RATE
        ring = np.minimum(t * 60, 1) * np.exp(-t * 3.2)
        bell = (np.sin(2 * np.pi * hertz * t) + 0.25 * np.sin(2 * np.pi * hertz * 2.76 * t)) * ring
        _add(out, bell.astype(np.float32) * 0.06, eighth * length // 8, rng.uniform(-0.7, 0.7))


def _percussion(out: Signal, mood: Mood, length: int, rng: random.Random) -> None:
    """Add a soft drum on the beat and a brush between."""
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 1, RATE // 8).astype(np.float32)
    t = np.arange(len(noise), dtype=np.float32) / RATE
    brush = noise * np.exp(-t * 45) * 0.03 * mood.beat
    low = np.arange(RATE // 4, dtype=np.float32) / RATE
    drum = np.sin(2 * np.pi * (52 + 30 * np.exp(-low * 30)) * low) * np.exp(-low * 14) * 0.28 * mood.beat
    for beat in range(4):
        if beat % 2 == 0 or rng.random() < mood.beat * 0.4:
            _add(out, drum.astype(np.float32), beat * length // 4, 0.0)
        _add(out, brush.astype(np.float32), (2 * beat + 1) * length // 8, 0.3)


def _add(out: Signal, mono: Signal, start: int, pan: float) -> None:
    """Add `mono` at sample `start`, `pan` from -1 (left) to 1 (right); what is too long is cut."""
    count = min(len(mono), len(out) - start)
    for channel, level in enumerate((1 - max(0.0, pan), 1 + min(0.0, pan))):
        out[start : start + count, channel] += mono[:count] * np.float32(level)
