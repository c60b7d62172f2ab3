"""The film's sound: voices at one loudness, laid at their times, music ducked under them.

Every voice and the music are normalised once and kept by content; a changed line costs one short
normalisation, the mix, which runs at some 400 times real time, and the AAC of the ten seconds in which
something changed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from studio_local.files import file_digest, link, replacing_later
from studio_local.film.aac import encode_in_stretches
from studio_local.film.cache import content_key, used
from studio_local.film.timing import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from studio_local.ffmpeg import Ffmpeg

    Worker = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

VOICE_LUFS = -16
"""Loudness of speech. Source: the usual target of online platforms, EBU R 128 s2 allows -20 to -14."""
MUSIC_LUFS = -27
_EVEN = "acompressor=threshold=0.1:ratio=3:attack=5:release=80,"
"""Takes the peaks off: below three seconds `loudnorm` turns up only as far as the loudest one lets it."""
_MOST_DB = 12.0
"""Music is turned up no further: what is quieter than that is meant to be, or is noise."""
_VERSION = 4


async def levelled_voice(source: Path, cache: Path, scratch: Path, ffmpeg: Ffmpeg) -> Path:
    """Return a 48 kHz 16-bit copy of a voice at `VOICE_LUFS`, made once per content.

    `loudnorm` answers at 192 kHz to catch peaks between samples, so that `aresample` must follow it.
    """

    async def chain(_folder: Path) -> str:
        return f"{_EVEN}loudnorm=I={VOICE_LUFS}:TP=-1.5:LRA=11,aresample={SAMPLE_RATE}"

    return await _made_once(source, VOICE_LUFS, chain, cache, scratch, ffmpeg)


async def levelled_music(source: Path, cache: Path, scratch: Path, ffmpeg: Ffmpeg) -> Path:
    """Return a 48 kHz 16-bit copy of music at `MUSIC_LUFS`, made once per content.

    It is turned up or down as a whole, which keeps its loud and quiet parts, and takes a twentieth of the
    time of `loudnorm`.
    """

    async def chain(folder: Path) -> str:
        change = MUSIC_LUFS - await ffmpeg.loudness("in", cwd=folder)
        return f"volume={min(change, _MOST_DB):.2f}dB,aresample={SAMPLE_RATE}"

    return await _made_once(source, MUSIC_LUFS, chain, cache, scratch, ffmpeg)


async def _made_once(
    source: Path,
    lufs: int,
    chain: Callable[[Path], Awaitable[str]],
    cache: Path,
    scratch: Path,
    ffmpeg: Ffmpeg,
) -> Path:
    digest = await asyncio.to_thread(file_digest, source)
    target = cache / f"{content_key({'version': _VERSION, 'source': digest, 'lufs': lufs})}.wav"
    if used(target):
        return target
    folder = scratch / f"sound-{target.stem}"
    folder.mkdir(exist_ok=True)
    async with replacing_later(target) as part:
        link(folder / "in", source)
        link(folder / part.name, part)
        filters = await chain(folder)
        await ffmpeg.run(["-i", "in", "-vn", "-af", filters, "-c:a", "pcm_s16le", part.name], cwd=folder)
    return target


async def mix(
    voices: list[tuple[float, Path]], music: Path | None, length_ms: int, cache: Path, scratch: Path,
    ffmpeg: Ffmpeg, work: Worker,
) -> Path:  # fmt: skip
    """Return the film's sound as AAC, `length_ms` long; `voices` are normalised, with their start in ms."""
    laid = [{"start": round(start * SAMPLE_RATE / 1000), "path": str(path)} for start, path in voices]
    mixed = scratch / "mix.raw"
    order = {"voices": laid, "music": str(music) if music else None, "out": str(mixed)}
    await work("mix_track", order | {"samples": length_ms * SAMPLE_RATE // 1000})
    return await encode_in_stretches(mixed, cache, scratch, ffmpeg)
