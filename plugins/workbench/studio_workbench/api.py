"""What the workbench asks of whoever cuts films (capability "film"). Lengths are milliseconds."""

from pathlib import Path
from typing import Protocol

from studio import GenerationRequest, Generator, ProviderModel, WordTiming

__all__ = ["FilmLine", "FilmRenderer", "FilmRequest", "FilmShot"]


class FilmLine(ProviderModel):
    """A voice on the film's time line: `start_ms` relative to its shot."""

    audio: Path | None
    """None: the line is only a subtitle (its voice could not be made)."""
    start_ms: int
    duration_ms: int
    text: str
    speaker: str = ""
    words: tuple[WordTiming, ...] = ()


class FilmShot(ProviderModel):
    """One shot of the film. `clip` replaces the animated `panel` when it is there."""

    id: str
    code: str
    panel: Path
    clip: Path | None = None
    movement: str = "push_in"
    duration_ms: int
    lines: tuple[FilmLine, ...] = ()


class FilmRequest(GenerationRequest):
    """Cut the shots to one film. Outputs: video/mp4, application/x-subrip, application/otio+json (and EDL, FCPXML).

    `cache_dir` keeps content-addressed segments between renders; `out_dir` receives the files.
    """

    title: str
    shots: tuple[FilmShot, ...]
    music: Path | None = None
    width: int = 1280
    height: int = 720
    fps: int = 24
    burn_subtitles: bool = True
    cache_dir: Path
    out_dir: Path


class FilmRenderer(Generator, Protocol):
    """Cuts films: `FilmRequest` → MP4, SRT, OTIO and more."""
