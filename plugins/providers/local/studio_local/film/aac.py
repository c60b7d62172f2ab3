"""AAC in pieces: sound is encoded in stretches of ten seconds, each kept by the samples in it.

Encoding is the slowest part of a mix. AAC works in frames of 1024 samples, each overlapping only its
neighbour, so a stretch that is encoded with some frames before and after it gives the same frames as the
whole would; those in the middle are cut out of the ADTS stream and put together again. Source: ISO/IEC
13818-7, ADTS header, section 6.2.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING

from studio_local.files import joined, write_whole
from studio_local.film.cache import used

if TYPE_CHECKING:
    from pathlib import Path

    from studio_local.ffmpeg import Ffmpeg

FRAME = 1024
STRETCH = 470
"""Frames per stretch: ten seconds at 48 kHz."""
_AROUND = 4
"""Frames encoded before and after a stretch, so that the encoder knows what it came from."""
_BYTES = 4
"""One sample of 16-bit stereo."""
_VERSION = b"aac-1:"
_ENCODE = (
    "-c:a", "aac", "-b:a", "160k",
    "-aac_coder", "fast", "-aac_tns", "0", "-aac_pns", "0", "-aac_ms", "0", "-aac_is", "0",
)  # fmt: skip
"""The encoder's optional tools triple its time and are for lower rates than this one."""


async def encode_in_stretches(samples: Path, cache: Path, scratch: Path, ffmpeg: Ffmpeg) -> Path:
    """Return an ADTS file of `samples` (raw 16-bit stereo, 48 kHz); only new stretches are encoded."""
    frames = -(-(await asyncio.to_thread(os.path.getsize, samples)) // (_BYTES * FRAME))
    starts = range(0, frames, STRETCH)
    stretches = await asyncio.gather(
        *(_stretch(samples, start, min(STRETCH, frames - start), cache, scratch, ffmpeg) for start in starts)
    )
    sound = scratch / "sound.aac"
    await asyncio.to_thread(joined, stretches, sound)
    return sound


async def _stretch(
    samples: Path, start: int, frames: int, cache: Path, scratch: Path, ffmpeg: Ffmpeg
) -> Path:
    raw = await asyncio.to_thread(_read, samples, start - _AROUND, frames + 2 * _AROUND)
    target = cache / f"{hashlib.sha256(_VERSION + raw).hexdigest()[:40]}.aac"
    if used(target):
        return target
    name = f"stretch-{start}"
    await asyncio.to_thread((scratch / f"{name}.raw").write_bytes, raw)
    source = ["-f", "s16le", "-ar", "48000", "-ac", "2", "-i", f"{name}.raw"]
    await ffmpeg.run([*source, *_ENCODE, "-f", "adts", f"{name}.aac"], cwd=scratch)
    await asyncio.to_thread(_keep, scratch / f"{name}.aac", frames, target)
    return target


def _keep(encoded: Path, frames: int, target: Path) -> None:
    """Cut the stretch itself out of what was encoded round it."""
    packets = adts_frames(encoded.read_bytes())
    first = _AROUND + 1  # the encoder's first frame holds the silence before the first sample
    write_whole(target, b"".join(packets[first : first + frames]))


def _read(samples: Path, first: int, frames: int) -> bytes:
    """Return `frames` frames from frame `first`, silence where the file has none."""
    size = FRAME * _BYTES
    before = max(0, -first) * size
    with samples.open("rb") as file:
        file.seek(max(0, first) * size)
        raw = bytes(before) + file.read(frames * size - before)
    return raw.ljust(frames * size, b"\0")


def adts_frames(stream: bytes) -> list[bytes]:
    """Cut an ADTS stream into its frames; raises ValueError where no frame begins."""
    frames: list[bytes] = []
    at = 0
    while at < len(stream):
        head = stream[at : at + 7]
        if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:  # noqa: PLR2004 - the sync word
            raise ValueError(f"no ADTS frame begins at byte {at}")
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        frames.append(stream[at : at + length])
        at += length
    return frames
