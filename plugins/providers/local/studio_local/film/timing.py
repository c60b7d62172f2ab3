"""The film's time line in whole frames: every shot starts where the one before ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from studio_workbench.api import FilmLine, FilmShot

SAMPLE_RATE = 48_000
_TAIL_MS = 200
"""Silence kept after the last word of a shot."""


@dataclass(frozen=True, slots=True)
class TimedShot:
    """A shot on the time line: `start` and `frames` in frames of the film, `fps` frames per second."""

    shot: FilmShot
    start: int
    frames: int
    fps: int

    @property
    def start_ms(self) -> float:
        """When the shot begins, ms from the film's start."""
        return self.start * 1000 / self.fps

    @property
    def duration_ms(self) -> float:
        """How long the shot stands, ms."""
        return self.frames * 1000 / self.fps


def lay_out(shots: Iterable[FilmShot], fps: int) -> list[TimedShot]:
    """Return the shots on the time line; a shot stretches until its lines are spoken, so no voice is cut."""
    timed: list[TimedShot] = []
    start = 0
    for shot in shots:
        frames = max(1, round(_needed_ms(shot) * fps / 1000))
        timed.append(TimedShot(shot, start, frames, fps))
        start += frames
    return timed


def total_ms(timed: Sequence[TimedShot]) -> int:
    """Return the film's length."""
    return round((timed[-1].start + timed[-1].frames) * 1000 / timed[-1].fps) if timed else 0


def global_lines(timed: Iterable[TimedShot]) -> list[tuple[float, FilmLine]]:
    """Return every line with its start in ms from the film's start."""
    return [(shot.start_ms + line.start_ms, line) for shot in timed for line in shot.shot.lines]


def _needed_ms(shot: FilmShot) -> int:
    ends = [line.start_ms + line.duration_ms for line in shot.lines]
    spoken = max(ends, default=0)
    return max(shot.duration_ms, spoken + _TAIL_MS if spoken > shot.duration_ms else 0)
