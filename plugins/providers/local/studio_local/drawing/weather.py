"""Weather in front of a set: rain, snow, fog, storm, wind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio_local.drawing.canvas import Canvas
from studio_local.drawing.colour import WHITE, mix

if TYPE_CHECKING:
    import random

    from studio_local.drawing.colour import Palette

Box = tuple[float, float, float, float]


def draw_weather(canvas: Canvas, weather: str, palette: Palette, box: Box, rng: random.Random) -> None:
    """Draw `weather` inside `box`; clear weather draws nothing."""
    if weather in {"rain", "storm"}:
        _rain(canvas, palette, box, rng, heavy=weather == "storm")
    elif weather == "snow":
        _snow(canvas, box, rng)
    elif weather == "fog":
        _fog(canvas, palette, box, rng)
    elif weather == "wind":
        _wind(canvas, palette, box, rng)


def lightning(canvas: Canvas, rng: random.Random, aspect: float) -> None:
    """Draw one bolt in the sky; belongs behind the figures."""
    x, y = aspect * rng.uniform(0.15, 0.45), -0.02
    points = [(x, y)]
    while y < 0.58:  # noqa: PLR2004 - just above the horizon
        x, y = x + rng.uniform(-0.05, 0.06), y + rng.uniform(0.04, 0.09)
        points.append((x, y))
    canvas.glow(points[len(points) // 2], 0.45, (200, 214, 255), 0.5)
    canvas.line(points, (220, 228, 255), 0.011, 110)
    canvas.line(points, WHITE, 0.0045)
    fork = points[len(points) // 2]
    canvas.line([fork, (fork[0] + 0.07, fork[1] + 0.07), (fork[0] + 0.09, fork[1] + 0.15)], WHITE, 0.0028)


def _rain(canvas: Canvas, palette: Palette, box: Box, rng: random.Random, *, heavy: bool) -> None:
    left, top, right, bottom = box
    slant = 0.34 if heavy else 0.16
    count = round((520 if heavy else 340) * (right - left) * (bottom - top))
    tone = mix(palette.sky_low, WHITE, 0.55)
    layer = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    for _ in range(count):
        x, y = rng.uniform(left, right), rng.uniform(top, bottom)
        length = rng.uniform(0.03, 0.09)
        end = (max(left, x - length * slant), min(bottom, y + length))
        layer.line([(x, y), end], tone, rng.choice((0.0012, 0.0018, 0.0026)), rng.randrange(60, 150))
    canvas.lay(layer)


def _snow(canvas: Canvas, box: Box, rng: random.Random) -> None:
    left, top, right, bottom = box
    layer = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    for _ in range(round(230 * (right - left) * (bottom - top)) + 6):
        size = rng.choice((0.0018, 0.0026, 0.0036, 0.006))
        place = (rng.uniform(left, right), rng.uniform(top, bottom))
        layer.ellipse(place, (size, size), WHITE, 235 if size < 0.005 else 130)  # noqa: PLR2004 - near flakes are out of focus
    canvas.lay(layer)


def _fog(canvas: Canvas, palette: Palette, box: Box, rng: random.Random) -> None:
    left, top, right, bottom = box
    layer = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    tone = mix(palette.haze, WHITE, 0.3 if palette.name != "night" else 0.12)
    for _ in range(34):
        place = (rng.uniform(left, right), top + (bottom - top) * rng.uniform(0.35, 1.0))
        layer.ellipse(place, (rng.uniform(0.2, 0.6), rng.uniform(0.02, 0.07)), tone, 46)
    layer.blur(0.03)
    canvas.lay(layer)
    canvas.lay(_veil_of(canvas, tone, 60, box))


def _veil_of(canvas: Canvas, tone: tuple[int, int, int], alpha: int, box: Box) -> Canvas:
    layer = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    layer.rectangle(box, tone, alpha)
    return layer


def _wind(canvas: Canvas, palette: Palette, box: Box, rng: random.Random) -> None:
    left, top, right, bottom = box
    tone = mix(palette.sky_low, WHITE, 0.5)
    layer = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    for _ in range(14):
        x, y, length = rng.uniform(left, right), rng.uniform(top, bottom), rng.uniform(0.15, 0.4)
        curl = [(x, y), (x + length * 0.5, y - 0.012), (x + length, y + 0.004), (x + length * 1.08, y - 0.02)]
        layer.line(curl, tone, 0.0022, 110, soft=True)
    for _ in range(22):
        place = (rng.uniform(left, right), rng.uniform(top, bottom))
        leaf = rng.choice(((168, 120, 60), (142, 92, 52), (120, 128, 62)))
        layer.ellipse(place, (0.007, 0.0032), leaf, 220)
    canvas.lay(layer)
