"""Camera movement over a still: where the window stands in each frame, in fractions of a pixel.

ffmpeg's `zoompan` rounds its window to whole pixels of the source, which trembles unless the picture is
scaled up threefold in 4:4:4 first (96 frames of 1280x720, one core: 1.3 s); `perspective` takes fractions
(0.87 s). Pillow's `resize` takes fractions too and needs 0.49 s, so a worker makes the frames and pipes
them into the encoder.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

ZOOM = 1.1
"""How far a push in goes; pans and tilts move a window of this size."""
_BATCH = 8


class Window(NamedTuple):
    """A window on the picture: zoom, and its place from 0 (left, top) to 1 (right, bottom)."""

    zoom: float
    x: float
    y: float


_MIDDLE = Window(1, 0.5, 0.5)
_NEAR = Window(ZOOM, 0.5, 0.5)
_MOVES = {
    "push_in": (_MIDDLE, _NEAR),
    "pull_out": (_NEAR, _MIDDLE),
    "pan_left": (Window(ZOOM, 1, 0.5), Window(ZOOM, 0, 0.5)),
    "pan_right": (Window(ZOOM, 0, 0.5), Window(ZOOM, 1, 0.5)),
    "tilt_up": (Window(ZOOM, 0.5, 1), Window(ZOOM, 0.5, 0)),
    "tilt_down": (Window(ZOOM, 0.5, 0), Window(ZOOM, 0.5, 1)),
}


def windows(movement: str, frames: int) -> Iterator[Window]:
    """Yield the window of each frame, soft at both ends; an unknown movement stands still."""
    first, last = _MOVES.get(movement, (_MIDDLE, _MIDDLE))
    for i in range(frames):
        phase = i / max(1, frames - 1)
        eased = phase * phase * (3 - 2 * phase)
        yield Window(*(a + (b - a) * eased for a, b in zip(first, last, strict=True)))


def film_still(payload: dict[str, Any]) -> dict[str, Any]:
    """Pipe `frames` frames of the raw yuv420p picture `still` into `command` (run in `cwd`).

    Runs in a worker. Returns {"code", "said"} of the encoder, which ends by itself when this process dies.
    """
    size = (payload["width"], payload["height"])
    planes = _planes(Path(payload["still"]).read_bytes(), *size)
    moves = windows(payload["movement"], payload["frames"])
    with subprocess.Popen(  # noqa: S603 - the server's own ffmpeg, no shell
        payload["command"], cwd=payload["cwd"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=(Path(payload["cwd"]) / "said.txt").open("wb"),
    ) as process:  # fmt: skip
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        _feed(process.stdin, planes, moves, payload["threads"])
    said = (Path(payload["cwd"]) / "said.txt").read_text(errors="replace")
    return {"code": process.returncode, "said": said}


def _feed(pipe: IO[bytes], planes: list[Image.Image], moves: Iterator[Window], threads: int) -> None:
    try:
        with ThreadPoolExecutor(threads) as pool:
            while batch := [move for _, move in zip(range(_BATCH), moves, strict=False)]:
                for frame in pool.map(_frame, repeat(planes), batch):
                    pipe.write(frame)
    except BrokenPipeError:
        return  # the encoder gave up, its exit code says why


def _planes(raw: bytes, width: int, height: int) -> list[Image.Image]:
    """Return Y, U and V of one yuv420p picture."""
    half = (width // 2, height // 2)
    luma, chroma = width * height, half[0] * half[1]
    return [
        Image.frombytes("L", (width, height), raw[:luma]),
        Image.frombytes("L", half, raw[luma : luma + chroma]),
        Image.frombytes("L", half, raw[luma + chroma : luma + 2 * chroma]),
    ]


def _frame(planes: list[Image.Image], window: Window) -> bytes:
    return b"".join(_view(plane, window).tobytes() for plane in planes)


def _view(plane: Image.Image, window: Window) -> Image.Image:
    if window.zoom == 1:
        return plane
    width, height = plane.width / window.zoom, plane.height / window.zoom
    left, top = (plane.width - width) * window.x, (plane.height - height) * window.y
    return plane.resize(plane.size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
