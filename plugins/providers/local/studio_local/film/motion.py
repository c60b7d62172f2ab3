"""Camera movement over a still: where the camera stands in each frame, in fractions of a pixel.

ffmpeg's `zoompan` rounds its window to whole pixels of the source, which trembles unless the picture is
scaled up threefold in 4:4:4 first (96 frames of 1280x720, one core: 1.3 s); `perspective` takes fractions
(0.87 s). Here a movement is a rail of key pictures one pixel apart; a frame is the blend of its two
neighbours, which is what a bilinear filter would make of it (a pan 0.08 s, a push in 0.35 s; every frame
resized by Pillow: 0.66 s). A worker makes the frames and pipes them into the encoder.
"""

from __future__ import annotations

import fcntl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageOps

from studio_local.drawing.slate import Overlay, overlay_of
from studio_local.pictures import opened, upright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ZOOM = 1.1
"""How far a push in goes; pans and tilts move a window of this size."""
_BATCH = 8
_PIPE_BYTES = 1 << 20
_BICUBIC, _BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


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


def phases(frames: int) -> Iterator[float]:
    """Yield how far along its way the camera is in each frame, 0 to 1, soft at both ends."""
    for i in range(frames):
        phase = i / max(1, frames - 1)
        yield phase * phase * (3 - 2 * phase)


@dataclass(slots=True)
class Rail:
    """A camera's way over one plane: `steps + 1` key pictures, at most a pixel of movement apart."""

    steps: int
    make: Callable[[int], Image.Image]
    _keys: dict[int, Image.Image] = field(default_factory=dict)

    def lay(self, phases: list[float], pool: ThreadPoolExecutor) -> None:
        """Make the key pictures that these frames need, and forget the others."""
        needed = {i for phase in phases for i in (int(phase * self.steps), ceil(phase * self.steps))}
        missing = sorted(needed - self._keys.keys())
        made = dict(zip(missing, pool.map(self.make, missing), strict=True))
        self._keys = {i: key for i, key in (self._keys | made).items() if i in needed}

    def at(self, phase: float) -> Image.Image:
        """Return the plane as seen from there; a picture of one's own, which may be painted on."""
        at = phase * self.steps
        before, after = self._keys[int(at)], self._keys[ceil(at)]
        return before.copy() if before is after else Image.blend(before, after, at - int(at))


def rail_of(plane: Image.Image, movement: str) -> Rail:
    """Return the way of a movement over a plane; an unknown movement stands still."""
    first, last = _MOVES.get(movement, (_MIDDLE, _MIDDLE))
    if first == last:
        return Rail(0, lambda _: plane)
    return (_pan if first.zoom == last.zoom else _zoom)(plane, first, last)


def _pan(plane: Image.Image, first: Window, last: Window) -> Rail:
    width, height = plane.size
    near = plane.resize((round(width * first.zoom), round(height * first.zoom)), _BICUBIC)
    spare = near.width - width, near.height - height
    steps = round(max(spare[0] * abs(last.x - first.x), spare[1] * abs(last.y - first.y)))

    def key(i: int) -> Image.Image:
        part = i / max(1, steps)
        left = round(spare[0] * (first.x + (last.x - first.x) * part))
        top = round(spare[1] * (first.y + (last.y - first.y) * part))
        return near.crop((left, top, left + width, top + height))

    return Rail(steps, key)


def _zoom(plane: Image.Image, first: Window, last: Window) -> Rail:
    width, height = plane.size
    steps = ceil(max(plane.size) / 2 * abs(1 / last.zoom - 1 / first.zoom))

    def key(i: int) -> Image.Image:
        share = 1 / first.zoom + (1 / last.zoom - 1 / first.zoom) * i / steps
        left, top = width * (1 - share) / 2, height * (1 - share) / 2
        box = (left, top, width - left, height - top)
        return plane if share == 1 else plane.resize(plane.size, _BILINEAR, box=box)

    return Rail(steps, key)


def film_still(payload: dict[str, Any]) -> dict[str, Any]:
    """Pipe `frames` frames of the picture `panel` into `command` (run in `cwd`), its slate standing still.

    Runs in a worker. Returns {"code", "said"} of the encoder, which ends by itself when this process dies.
    """
    size = (payload["width"], payload["height"])
    with opened(Path(payload["panel"])) as image:
        overlay = overlay_of(image.info.get("comment"), size) if payload["slate"] else None
        planes = planes_of(ImageOps.fit(upright(image), size, _BICUBIC))
    rails = [rail_of(plane, payload["movement"]) for plane in planes]
    frames = phases(payload["frames"])
    said = Path(payload["cwd"]) / "said.txt"
    with said.open("wb") as errors, subprocess.Popen(  # noqa: S603 - the server's own ffmpeg, no shell
        payload["command"], cwd=payload["cwd"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
    ) as process:  # fmt: skip
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        _widen(process.stdin)
        _feed(process.stdin, rails, _painted(overlay), frames, payload["threads"])
    return {"code": process.returncode, "said": said.read_text(errors="replace")}


def planes_of(image: Image.Image) -> list[Image.Image]:
    """Return Y, U and V of an RGB picture with even sides: 4:2:0, BT.709, levels 16 to 235 (240)."""
    half = image.reduce(2)
    return [(half if i else image).convert("L", row) for i, row in enumerate(_BT709)]


_Y, _C = 219 / 255, 224 / 255
_BT709 = (
    (0.2126 * _Y, 0.7152 * _Y, 0.0722 * _Y, 16.0),
    (-0.2126 / 1.8556 * _C, -0.7152 / 1.8556 * _C, 0.5 * _C, 128.0),
    (0.5 * _C, -0.7152 / 1.5748 * _C, -0.0722 / 1.5748 * _C, 128.0),
)
"""Source: ITU-R BT.709-6, items 3.2 to 3.5 and 4.6."""


def _painted(overlay: Overlay | None) -> Callable[[list[Image.Image]], None]:
    """Return what paints the slate on the planes of a frame."""
    if overlay is None:
        return lambda _planes: None
    left, top = overlay.place
    full = overlay.image.getchannel("A")
    inks, masks = planes_of(overlay.image.convert("RGB")), (full, full.reduce(2), full.reduce(2))
    places = ((left, top), (left // 2, top // 2), (left // 2, top // 2))

    def paint(planes: list[Image.Image]) -> None:
        for plane, ink, mask, place in zip(planes, inks, masks, places, strict=True):
            plane.paste(ink, place, mask)

    return paint


def _widen(pipe: IO[bytes]) -> None:
    """Let a whole frame into the pipe, so that worker and encoder wait less for each other."""
    with suppress(OSError, AttributeError):  # only Linux has it, and it may refuse
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _feed(
    pipe: IO[bytes], rails: list[Rail], paint: Callable[[list[Image.Image]], None],
    phases: Iterator[float], threads: int,
) -> None:  # fmt: skip
    def frame(phase: float) -> bytes:
        planes = [rail.at(phase) for rail in rails]
        paint(planes)
        return b"".join(plane.tobytes() for plane in planes)

    with suppress(BrokenPipeError), ThreadPoolExecutor(threads) as pool:  # its exit code says why it gave up
        while batch := [phase for _, phase in zip(range(_BATCH), phases, strict=False)]:
            for rail in rails:
                rail.lay(batch, pool)
            if not any(rail.steps for rail in rails):
                batch = batch[:1] * len(batch)
            for made in _each(frame, batch, pool):
                pipe.write(made)


def _each(frame: Callable[[float], bytes], batch: list[float], pool: ThreadPoolExecutor) -> Iterator[bytes]:
    """Yield the frames in order; one that stands for all is made once."""
    if len(set(batch)) == 1:
        return iter([frame(batch[0])] * len(batch))
    return pool.map(frame, batch)
