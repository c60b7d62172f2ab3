"""One shot's picture: moved, subtitled, encoded, and kept by its content so that it is made once.

A segment holds no sound, so a changed voice or another music never touches a picture. It is a bare H.264 stream:
such streams are joined byte by byte and wrapped once, in half the time that ffmpeg needs to open as many MP4s.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio_local.files import link, replacing_later
from studio_local.film.cache import content_key, used
from studio_local.film.subtitles import film_cues, line_characters, to_ass

if TYPE_CHECKING:
    from studio_local.film.timing import TimedShot
    from studio_local.runtime import LocalRuntime

FONTS = Path(__file__).resolve().parents[1] / "fonts"
_VERSION = 8
"""Part of every key: raise it when the same recipe starts to give other pixels."""
OUT = "out.h264"
_MARKED = ("-color_range", "tv", "-colorspace", "bt709", "-color_trc", "bt709", "-color_primaries", "bt709")


@dataclass(frozen=True, slots=True)
class Frame:
    """A film's picture format: pixels and frames per second."""

    width: int
    height: int
    fps: int


def segment_subtitles(timed: TimedShot, frame: Frame) -> str:
    """Return the shot's subtitles in its own time, as ASS; "" when nobody speaks."""
    lines = ((line.start_ms, line) for line in timed.shot.lines)
    cues = film_cues(lines, timed.duration_ms, line_characters(frame.width, frame.height))
    return to_ass(cues, frame.width, frame.height) if cues else ""


def segment_recipe(timed: TimedShot, frame: Frame, digest: str, subtitles: str) -> dict[str, Any]:
    """Return all that decides the pixels; `digest` is that of the panel or clip."""
    return {
        "version": _VERSION, "source": digest, "clip": timed.shot.clip is not None,
        "movement": timed.shot.movement, "frames": timed.frames, "subtitles": subtitles,
        "size": [frame.width, frame.height, frame.fps],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Still:
    """A panel to be filmed: how the camera moves, for how many frames, with or without its slate."""

    panel: Path
    movement: str
    frames: int
    frame: Frame
    slate: bool = False
    threads: int = 1


def segment_path(cache: Path, recipe: dict[str, Any]) -> Path:
    """Return where the segment lies once it is made."""
    return cache / f"{content_key(recipe)}.h264"


async def make_segment(
    timed: TimedShot,
    frame: Frame,
    recipe: dict[str, Any],
    cache: Path,
    scratch: Path,
    runtime: LocalRuntime,
    *,
    threads: int,
) -> tuple[Path, bool]:
    """Return the segment's file and whether it had to be rendered."""
    target = segment_path(cache, recipe)
    if used(target):
        return target, False
    folder = scratch / target.stem
    folder.mkdir()
    filters: list[str] = []
    if recipe["subtitles"]:
        link(folder / "fonts", FONTS)
        (folder / "shot.ass").write_text(recipe["subtitles"], encoding="utf-8")
        filters.append("subtitles=shot.ass:fontsdir=fonts")
    if timed.shot.clip:
        await _film_clip(timed, frame, filters, folder, runtime)
    else:
        shot = timed.shot
        still = Still(shot.panel, shot.movement, timed.frames, frame, slate=True, threads=threads)
        await film_panel(still, filters, folder / OUT, runtime)
    await keep(folder / OUT, target)
    return target, True


async def keep(made: Path, target: Path) -> None:
    """Move what an encoder made to its place.

    It is made in a scratch folder: an encoder that outlives its killed worker for a moment could write a file
    anew that was removed already, but not into a folder that is gone.
    """
    async with replacing_later(target) as part:
        await asyncio.to_thread(shutil.move, made, part)


async def film_panel(still: Still, filters: list[str], out: Path, runtime: LocalRuntime) -> None:
    """Write `out` (.mp4 or .h264): the panel under a moving camera, then `filters`, which may read beside it."""
    frame = still.frame
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{frame.width}x{frame.height}", *_MARKED[:4]]
    command = [
        str(runtime.ffmpeg.find()), "-hide_banner", "-nostats", "-v", "error", "-y",
        *raw, "-r", str(frame.fps), "-i", "pipe:0", *_encode(filters, still.frames, frame, still.threads),
        *(timescale(frame) if out.suffix == ".mp4" else ()), out.name,
    ]  # fmt: skip
    payload = {
        "panel": str(still.panel.absolute()), "slate": still.slate, "width": frame.width, "height": frame.height,
        "frames": still.frames, "movement": still.movement, "threads": still.threads,
        "command": command, "cwd": str(out.parent),
    }  # fmt: skip
    deadline_s = runtime.settings.ffmpeg_deadline_s
    answer = await runtime.workers.call("film_still", payload, deadline_s=deadline_s)
    runtime.ffmpeg.judge(answer["code"], answer["said"])


async def _film_clip(
    timed: TimedShot, frame: Frame, filters: list[str], folder: Path, runtime: LocalRuntime
) -> None:
    """Write the segment into `folder` from a moving picture: cut or held to the shot's length."""
    clip = timed.shot.clip or timed.shot.panel
    link(folder / "clip.mp4", clip)
    held = f"tpad=stop_mode=clone:stop_duration={timed.duration_ms / 1000:.3f}"
    chain = [f"fps={frame.fps}", *_fitted(frame), held, *filters]
    await runtime.ffmpeg.run(["-i", "clip.mp4", *_encode(chain, timed.frames, frame, 1), OUT], cwd=folder)


def _fitted(frame: Frame) -> list[str]:
    """Fill the frame, cut what sticks out, and make it what every player takes."""
    size = f"{frame.width}:{frame.height}"
    scaled = f"scale={size}:force_original_aspect_ratio=increase:flags=bicubic:out_range=tv"
    return [scaled, f"crop={size}", "format=yuv420p"]


def _encode(filters: list[str], frames: int, frame: Frame, threads: int) -> list[str]:
    """Return the encoder's arguments: always the same, no B frames, so that segments join by copying."""
    return [
        "-filter_threads", str(threads), "-vf", ",".join((*filters, "setsar=1")),
        "-frames:v", str(frames), "-an", "-c:v", "libx264", "-preset", "superfast", "-crf", "23", "-bf", "0",
        "-g", str(frame.fps * 2), "-pix_fmt", "yuv420p", *_MARKED, "-threads", str(threads),
    ]  # fmt: skip


def timescale(frame: Frame) -> list[str]:
    """Return the units of an MP4's clock, so that every frame lasts a whole number of them."""
    return ["-video_track_timescale", str(frame.fps * 512)]
