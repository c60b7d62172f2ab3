"""The voice track, laid sample by sample. Runs in a worker process."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np

_RATE = 48_000
_HEADER = 44


def read_mono(path: Path) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return a 16-bit WAV as one channel."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        channels = samples.reshape(-1, file.getnchannels())
        return np.asarray(channels.mean(axis=1), dtype=np.int32)


def lay_voices(payload: dict[str, Any]) -> dict[str, Any]:
    """Write `samples` samples of 48 kHz mono to `out`, each of `voices` added at its `start` (in samples).

    The file is sparse where nobody speaks, so that an hour of film costs no memory.
    """
    total = int(payload["samples"])
    with Path(payload["out"]).open("wb") as file:
        file.write(_header(total * 2))
        file.truncate(_HEADER + total * 2)
    track = np.memmap(payload["out"], dtype="<i2", mode="r+", offset=_HEADER, shape=(total,))
    for voice in payload["voices"]:
        _add(track, read_mono(Path(voice["path"])), int(voice["start"]))
    track.flush()
    return {"samples": total}


def _header(size: int) -> bytes:
    """Return the head of a WAV of `size` bytes, 16-bit mono; `wave` would want the samples themselves."""
    chunk = struct.pack("<IHHIIHH", 16, 1, 1, _RATE, _RATE * 2, 2, 16)
    start = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt "
    return start + chunk + b"data" + struct.pack("<I", size)


def _add(track: np.ndarray[Any, Any], voice: np.ndarray[Any, Any], start: int) -> None:
    length = min(len(voice), len(track) - start)
    if length > 0:
        place = track[start : start + length]
        place[:] = np.clip(place.astype(np.int32) + voice[:length], -32768, 32767).astype("<i2")
