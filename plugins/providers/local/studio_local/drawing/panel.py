"""One panel from a shot's brief: set, figures framed by shot size, weather, light; its slate is a note."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from studio_local.drawing.canvas import Canvas
from studio_local.drawing.colour import INK, Palette, mix, palette_for, parse, pick
from studio_local.drawing.exterior import draw_exterior
from studio_local.drawing.faces import Look, look_of
from studio_local.drawing.figures import Figure, draw_figure, ground_shadow, silhouetted
from studio_local.drawing.interior import draw_interior
from studio_local.drawing.slate import note_of
from studio_local.drawing.weather import draw_weather, lightning


@dataclass(frozen=True, slots=True)
class Framing:
    """How a shot size frames: a figure's height and head's top (panel heights), and what the set becomes."""

    height: float
    top: float
    closer: float = 1.0
    blur: float = 0.0
    spread: float = 0.3


FRAMINGS = {
    "ELS": Framing(0.15, 0.68, spread=0.1),
    "LS": Framing(0.6, 0.29, spread=0.3),
    "TWO": Framing(1.15, 0.2, closer=1.15, blur=0.002, spread=0.46),
    "MS": Framing(1.45, 0.2, closer=1.2, blur=0.003, spread=0.5),
    "MCU": Framing(2.3, 0.17, closer=1.35, blur=0.006, spread=0.7),
    "CU": Framing(3.9, 0.17, closer=1.6, blur=0.011, spread=1.2),
    "ECU": Framing(6.6, 0.03, closer=1.9, blur=0.016, spread=2.0),
    "OTS": Framing(2.0, 0.2, closer=1.3, blur=0.006, spread=0.6),
}
_CLOSE = {"CU", "ECU", "MCU"}
_PER_ROW = 5


def draw_panel(payload: dict[str, Any]) -> dict[str, Any]:
    """Draw `brief` at `width` x `height` with `seed` to the JPEG file `out`."""
    brief: dict[str, Any] = payload["brief"]
    rng = random.Random(f"{payload['seed']}:{brief['location']}:{brief['code']}")  # noqa: S311 - a drawing, no secret
    canvas = Canvas(payload["width"], payload["height"])
    palette = palette_for(brief["time_of_day"], brief["weather"])
    framing = FRAMINGS[brief["shot_size"]]
    _set(canvas, brief, palette, framing, payload["seed"])
    _cast(canvas, brief, palette, framing, rng)
    if brief["int_ext"] != "INT":
        draw_weather(canvas, brief["weather"], palette, (0, 0, canvas.aspect, 1), rng)
    image = _graded(canvas.finished(), payload["seed"])
    image.save(payload["out"], "JPEG", quality=90, subsampling=0, comment=note_of(brief))
    return {"width": image.width, "height": image.height}


def _set(canvas: Canvas, brief: dict[str, Any], palette: Palette, framing: Framing, seed: int) -> None:
    """Draw the location: the same one in every shot of the scene, nearer and softer in close shots."""
    rng = random.Random(f"{seed // 1000}:{brief['location'].upper()}")  # noqa: S311 - a drawing, no secret
    indoors = brief["int_ext"] == "INT"
    (draw_interior if indoors else draw_exterior)(canvas, brief["location"], palette, brief["weather"], rng)
    if brief["weather"] == "storm" and not indoors:
        lightning(canvas, rng, canvas.aspect)
    if framing.closer > 1:
        side = pick(brief["code"], "side", 3) - 1
        canvas.closer(framing.closer, (canvas.aspect * (0.5 + 0.12 * side), 0.42), framing.blur)


def _cast(
    canvas: Canvas, brief: dict[str, Any], palette: Palette, framing: Framing, rng: random.Random
) -> None:
    looks = [
        look_of(person["name"], parse(person["colour"]), _light(brief, palette))
        for person in brief["characters"]
    ]
    if not looks:
        return
    if brief["shot_size"] == "OTS":
        _over_the_shoulder(canvas, looks, framing, rng)
    elif brief["shot_size"] in _CLOSE:
        _close(canvas, looks, framing, brief, rng)
    else:
        _group(canvas, looks, framing, brief, rng)


def _light(brief: dict[str, Any], palette: Palette) -> tuple[int, int, int]:
    warm = (
        mix(palette.light, palette.glow, 0.45)
        if palette.lamps and brief["int_ext"] == "INT"
        else palette.light
    )
    return mix(warm, (255, 255, 255), 0.12)


def _group(
    canvas: Canvas, looks: list[Look], framing: Framing, brief: dict[str, Any], rng: random.Random
) -> None:
    """Stand everybody side by side, facing each other; more than five stand in rows, the last row first."""
    rows = [looks[i : i + _PER_ROW] for i in range(0, len(looks), _PER_ROW)]
    fit = min(1.0, canvas.aspect * 0.84 / (max(len(row) for row in rows) * framing.height * 0.3))
    height = framing.height * fit
    top = framing.top + (framing.height - height) * (1.0 if framing.height < 1 else 0.12)
    for depth, row in reversed(list(enumerate(rows))):
        step = max(height * 0.3, min(framing.spread, canvas.aspect * 0.8 / len(row)))
        for i, look in enumerate(row):
            offset = i - (len(row) - 1) / 2
            x = canvas.aspect * _anchor(brief, len(looks)) + offset * step + (depth % 2) * step * 0.45
            facing = (-1 if offset > 0 else 1) if len(looks) > 1 else rng.choice((-1, 0, 1))
            size = height * rng.uniform(0.95, 1.03) * 0.88**depth
            figure = Figure(
                look, x, top + height - size - depth * height * 0.1, size, facing, rng.randrange(4)
            )
            if framing.height < 1:
                ground_shadow(canvas, figure)
            draw_figure(canvas, figure)


def _anchor(brief: dict[str, Any], people: int) -> float:
    """Return where the middle of the group is: off centre when alone, in the middle otherwise."""
    return (0.42, 0.5, 0.58)[pick(brief["code"], "anchor", 3)] if people == 1 else 0.5


def _close(
    canvas: Canvas, looks: list[Look], framing: Framing, brief: dict[str, Any], rng: random.Random
) -> None:
    """Show the first character large and the others behind, out of focus."""
    side = 1 if pick(brief["code"], "side", 2) else -1
    behind = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    for i, look in enumerate(looks[1:4]):
        x = canvas.aspect * (0.5 + side * (0.27 + 0.15 * i))
        draw_figure(behind, Figure(look, x, 0.34 + 0.05 * i, framing.height * (0.42 - 0.05 * i), -side, 0))
    if len(looks) > 1:
        behind.blur(framing.blur * 0.7)
        canvas.lay(behind)
    alone = 0.06 if len(looks) == 1 else 0.12
    x = canvas.aspect * 0.5 - side * (alone if framing.height < 6 else 0.02)  # noqa: PLR2004 - an extreme close-up fills the frame
    facing = side if len(looks) > 1 else rng.choice((0, side))
    draw_figure(canvas, Figure(looks[0], x, framing.top, framing.height, facing, 0))


def _over_the_shoulder(canvas: Canvas, looks: list[Look], framing: Framing, rng: random.Random) -> None:
    """Show the first character past the shoulder of the second, or of a stranger."""
    side = rng.choice((-1, 1))
    x = canvas.aspect * 0.5 + side * 0.26
    draw_figure(canvas, Figure(looks[0], x, framing.top, framing.height, -side, 0))
    near = silhouetted(looks[1] if len(looks) > 1 else looks[0], INK)
    layer = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    draw_figure(layer, Figure(near, canvas.aspect * 0.5 - side * 0.5, 0.3, 2.7, 0, 0, back=True))
    layer.blur(0.006)
    canvas.lay(layer)


def _graded(image: Image.Image, seed: int) -> Image.Image:
    """Darken the corners and add a paper's grain."""
    pixels = np.array(image, dtype=np.float32)
    height, width, _ = pixels.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    corner = 1 - 0.16 * np.clip(x**2 * 0.6 + y**2 * 0.6 - 0.25, 0, None)
    grain = np.random.default_rng(seed).standard_normal((height, width), dtype=np.float32) * np.float32(0.5)
    pixels *= corner[..., None]
    pixels += grain[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
