"""The film's sound, sample by sample: voices at their times, music ducked under them, no peak cut off.

Runs in a worker process. Whatever follows the loudness works in blocks of a millisecond, so that a minute of
film is mixed in a fifth of a second. The film passes through in pieces, so that an hour costs no memory.
"""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    Samples = np.ndarray[Any, Any]

_BLOCK = 48
"""Samples of a millisecond at 48 kHz."""
_PIECE = 20_000
"""Blocks mixed at a time."""
_FULL = 32768.0
_THRESHOLD_DB, _RATIO = -34.0, 6.0
"""From this loudness of the voices on, music yields five decibels of six."""
_ATTACK_MS, _RELEASE_MS = 7.5, 125.0
_FADE_MS = 2500
_LIMIT = 0.84 * _FULL
"""Highest peak, -1.5 dB. Samples keep the scale of 16 bits throughout."""
_AHEAD = 5
"""Blocks over which the limiter turns down before a peak and up after it."""
_MARGIN = 4 * _AHEAD


def read_wave(path: Path) -> Samples:
    """Return a 16-bit WAV as rows of one sample per channel."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return samples.reshape(-1, file.getnchannels())


def mix_track(payload: dict[str, Any]) -> dict[str, Any]:
    """Write `samples` samples of 48 kHz, 16-bit stereo to `out`.

    Each of `voices` is added at its `start` (in samples); `music` (a path or None) is repeated under them.
    """
    samples = int(payload["samples"])
    speech = Speech.laid([(int(v["start"]), Path(v["path"])) for v in payload["voices"]], samples)
    music = read_wave(Path(payload["music"])) if payload["music"] else None
    bed = Bed(music, samples) if music is not None and len(music) else None
    duck = _ducked(speech.levels(), -(-samples // _BLOCK)) if bed else None
    with Path(payload["out"]).open("wb") as file:
        pieces = range(0, -(-samples // _BLOCK), _PIECE)
        file.writelines(_piece(speech, bed, duck, first, samples) for first in pieces)
    return {"samples": samples}


@dataclass(frozen=True, slots=True)
class Speech:
    """The voices with their starts; nothing is kept of the silence between them."""

    voices: list[tuple[int, Samples]]

    @classmethod
    def laid(cls, files: Iterable[tuple[int, Path]], samples: int) -> Speech:
        """Read the voices; what would sound after the end is cut."""
        read = ((start, read_wave(path).mean(axis=1, dtype=np.float32)) for start, path in files)
        return cls([(start, voice[: max(0, samples - start)]) for start, voice in read])

    def add_to(self, mix: Samples, start: int) -> None:
        """Add all that sounds from sample `start` on to the rows of `mix`."""
        for at, voice in self.voices:
            first, last = max(at, start), min(at + len(voice), start + len(mix))
            if first < last:
                mix[first - start : last - start] += voice[first - at : last - at, None]

    def levels(self) -> Iterable[tuple[int, Samples]]:
        """Yield loudness (mean square) per block and the block where it begins, in order of time."""
        for at, voice in sorted(self.voices, key=lambda laid: laid[0]):
            skip = at % _BLOCK
            padded = np.zeros(-(-(skip + len(voice)) // _BLOCK) * _BLOCK, np.float32)
            padded[skip : skip + len(voice)] = voice
            yield at // _BLOCK, np.square(padded).reshape(-1, _BLOCK).mean(axis=1)


@dataclass(frozen=True, slots=True)
class Bed:
    """Music, repeated as often as the film lasts, faded in and out."""

    music: Samples
    length: int

    def part(self, start: int, samples: int) -> Samples:
        """Return rows from sample `start` on."""
        rows = np.empty((samples, 2), np.float32)
        done = 0
        while done < samples:
            first = (start + done) % len(self.music)
            piece = self.music[first : first + samples - done]
            rows[done : done + len(piece)] = piece
            done += len(piece)
        fade = min(_FADE_MS * _BLOCK, self.length // 4)
        if fade and (start < fade or start + samples > self.length - fade):
            at = np.arange(start, start + samples, dtype=np.float32)
            rows *= np.clip(np.minimum(at, self.length - at) / fade, 0, 1)[:, None]
        return rows


def _ducked(levels: Iterable[tuple[int, Samples]], blocks: int) -> Samples:
    """Return the music's gain per block: a compressor that listens to the voices."""
    loudness = np.zeros(blocks, np.float64)
    for first, level in levels:
        part = loudness[first : first + len(level)]
        part += level[: len(part)]
    attack, release = (1 - math.exp(-1 / ms) for ms in (_ATTACK_MS, _RELEASE_MS))
    followed, now = [0.0] * blocks, 0.0
    for i, heard in enumerate(loudness.tolist()):
        now += (heard - now) * (attack if heard > now else release)
        followed[i] = now
    above = 10 * np.log10(np.maximum(np.asarray(followed), 1e-3) / _FULL**2) - _THRESHOLD_DB
    return np.asarray(10 ** (-np.maximum(above, 0) * (1 - 1 / _RATIO) / 20), dtype=np.float32)


def _piece(speech: Speech, bed: Bed | None, duck: Samples | None, first: int, samples: int) -> bytes:
    """Return the samples of the blocks from `first` on; they are mixed with some before and after them."""
    before = min(first, _MARGIN)
    start, end = (first - before) * _BLOCK, min(samples, (first + _PIECE + _MARGIN) * _BLOCK)
    mix = np.zeros((end - start, 2), np.float32)
    if bed is not None and duck is not None:
        mix += bed.part(start, len(mix))
        _turn(mix, duck[first - before : first + _PIECE + _MARGIN])
    speech.add_to(mix, start)
    _limit(mix)
    kept = mix[before * _BLOCK : (before + _PIECE) * _BLOCK]
    return np.rint(kept, out=kept).astype("<i2").tobytes()


def _turn(mix: Samples, gains: Samples) -> None:
    """Multiply each block by its gain, in a straight line from one block's start to the next one's."""
    ramp = np.arange(_BLOCK, dtype=np.float32) / _BLOCK
    starts = np.minimum(gains, np.concatenate((gains[:1], gains[:-1])))[:, None]
    ends = np.concatenate((starts[1:], gains[-1:, None]))
    mix *= (starts + (ends - starts) * ramp).reshape(-1, 1)[: len(mix)]


def _limit(mix: Samples) -> None:
    """Turn down, smoothly and in time, whatever would pass the highest peak."""
    blocks = -(-len(mix) // _BLOCK)
    whole = mix[: len(mix) // _BLOCK * _BLOCK].reshape(-1, _BLOCK * 2)
    peaks = np.ones(blocks, np.float32)
    peaks[: len(whole)] = np.maximum(whole.max(axis=1), -whole.min(axis=1))
    if len(whole) < blocks:
        peaks[-1] = np.abs(mix[len(whole) * _BLOCK :]).max()
    if peaks.max() <= _LIMIT:
        return
    needed = np.minimum(1, _LIMIT / np.maximum(peaks, 1)).astype(np.float32)
    around = np.lib.stride_tricks.sliding_window_view
    lowest = around(np.pad(needed, _AHEAD + 1, mode="edge"), 2 * _AHEAD + 3).min(axis=1)
    _turn(mix, around(np.pad(lowest, _AHEAD, mode="edge"), 2 * _AHEAD + 1).mean(axis=1))
