"""Figures: a body of about seven heads in the character's colour, posed by seed, lit from one side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from studio_local.drawing.canvas import Canvas
from studio_local.drawing.colour import INK, Colour, mix, scaled
from studio_local.drawing.faces import Head, Look, draw_hair_behind, draw_head

if TYPE_CHECKING:
    from studio_local.drawing.canvas import Point

HEAD = 0.146
"""Height of the head in figure heights: a little larger than life, as storyboards have it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: `x` of its middle, `top` of its head and `height`, all in panel heights; `pose` 0-3."""

    look: Look
    x: float
    top: float
    height: float
    facing: int = 0
    pose: int = 0
    back: bool = False

    def at(self, x: float, y: float) -> Point:
        """Return a point in figure units: x from the middle, y from the head's top, 1 is the whole height."""
        return self.x + x * self.height, self.top + y * self.height


def draw_figure(canvas: Canvas, figure: Figure) -> None:
    """Draw a figure and light it."""
    layer = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    head = Head(
        layer, figure.at(figure.facing * 0.012, HEAD / 2), HEAD * figure.height, figure.facing, figure.look
    )
    if not figure.back:
        draw_hair_behind(head)
    _legs(layer, figure)
    _neck(layer, figure)
    _torso(layer, figure)
    _arms(layer, figure)
    if figure.back:
        _back_of_head(head)
    else:
        draw_head(head)
    _light(layer, figure)
    canvas.lay(layer)


def ground_shadow(canvas: Canvas, figure: Figure) -> None:
    """Put the figure on the ground."""
    x, y = figure.at(0.03, 0.992)
    canvas.ellipse((x, y), (figure.height * 0.17, figure.height * 0.022), INK, 70)


def _legs(layer: Canvas, figure: Figure) -> None:
    trousers = mix(scaled(figure.look.coat, 0.42), (44, 44, 54), 0.55)
    stride = 0.035 if figure.pose % 2 else 0.012
    for side in (-1, 1):
        foot = side * (0.042 + stride)
        leg = [
            (side * 0.006, 0.47),
            (side * 0.095, 0.47),
            (foot + side * 0.032, 0.955),
            (foot - side * 0.022, 0.955),
        ]
        layer.polygon([figure.at(*point) for point in leg], scaled(trousers, 1.0 if side > 0 else 0.88))
        shoe = [
            (foot - 0.036, 0.985),
            (foot - 0.03, 0.95),
            (foot + 0.03, 0.95),
            (foot + 0.04 + figure.facing * 0.02, 0.985),
        ]
        layer.blob([figure.at(*point) for point in shoe], scaled(trousers, 0.55))


def _neck(layer: Canvas, figure: Figure) -> None:
    shift = figure.facing * 0.008
    points = [(-0.03 + shift, 0.11), (0.03 + shift, 0.11), (0.042, 0.19), (-0.042, 0.19)]
    layer.polygon([figure.at(*point) for point in points], scaled(figure.look.skin, 0.78))


def _torso(layer: Canvas, figure: Figure) -> None:
    look, ink = figure.look, max(0.0012, figure.height * 0.0035)
    shape = [
        (-0.045, 0.163), (-0.105, 0.187), (-0.128, 0.235), (-0.104, 0.33), (-0.09, 0.41), (-0.105, 0.54),
            (0, 0.55),
        (0.105, 0.54), (0.09, 0.41), (0.104, 0.33), (0.128, 0.235), (0.105, 0.187), (0.045, 0.163), (0, 0.19),
    ]  # fmt: skip
    layer.blob([figure.at(*point) for point in shape], look.coat, ink=INK, width=ink)
    if figure.back:
        layer.line([figure.at(0, 0.2), figure.at(0, 0.54)], scaled(look.coat, 0.75), ink)
        return
    shirt = [(-0.036, 0.163), (0, 0.172), (0.036, 0.163), (0.004, 0.262), (-0.004, 0.262)]
    layer.polygon([figure.at(*point) for point in shirt], mix(look.coat, (244, 240, 232), 0.78))
    for side in (-1, 1):
        lapel = [
            (side * 0.038, 0.158),
            (side * 0.068, 0.182),
            (side * 0.048, 0.225),
            (side * 0.062, 0.235),
            (0, 0.285),
        ]
        layer.polygon([figure.at(*point) for point in lapel], scaled(look.coat, 0.8))
    layer.line([figure.at(0, 0.283), figure.at(0.002, 0.54)], scaled(look.coat, 0.62), ink)
    for y in (0.315, 0.37, 0.425):
        layer.ellipse(
            figure.at(0.013, y), (figure.height * 0.0055, figure.height * 0.0055), scaled(look.coat, 0.5)
        )


_ARMS: tuple[tuple[tuple[Point, Point, Point], tuple[Point, Point, Point]], ...] = (
    (((-0.112, 0.215), (-0.142, 0.36), (-0.128, 0.5)), ((0.112, 0.215), (0.142, 0.36), (0.128, 0.5))),
    (((-0.112, 0.215), (-0.15, 0.35), (-0.12, 0.49)), ((0.112, 0.215), (0.165, 0.33), (0.235, 0.255))),
    (((-0.112, 0.215), (-0.178, 0.33), (-0.1, 0.42)), ((0.112, 0.215), (0.15, 0.36), (0.13, 0.5))),
    (((-0.112, 0.215), (-0.15, 0.345), (-0.03, 0.335)), ((0.112, 0.215), (0.15, 0.35), (0.035, 0.365))),
)  # fmt: skip


def _arms(layer: Canvas, figure: Figure) -> None:
    sleeve = figure.look.coat
    width = figure.height * 0.05
    mirror = -1 if figure.facing < 0 else 1
    for arm in _ARMS[figure.pose % len(_ARMS)]:
        points = [figure.at(mirror * x, y) for x, y in arm]
        layer.line(points, INK, width + max(0.002, figure.height * 0.007), soft=True)
        layer.line(points, sleeve, width, soft=True)
        inner = figure.at(mirror * arm[0][0] * 0.82, arm[0][1] + 0.004)
        layer.ellipse(inner, (width * 0.52, width * 0.6), sleeve)  # the shoulder is one with the coat
        layer.ellipse(
            points[-1], (figure.height * 0.021, figure.height * 0.025), scaled(figure.look.skin, 0.95)
        )


def _back_of_head(head: Head) -> None:
    skull = [
        (-0.68, -0.2),
        (-0.5, -0.85),
        (0, -1.04),
        (0.5, -0.85),
        (0.68, -0.2),
        (0.58, 0.5),
        (0.3, 0.9),
        (-0.3, 0.9),
        (-0.58, 0.5),
    ]
    tone = head.look.skin if head.look.style == "bald" else head.look.hair
    head.canvas.blob([head.at(*point) for point in skull], scaled(tone, 0.8), ink=INK, width=head.wide(0.03))


def _light(layer: Canvas, figure: Figure) -> None:
    """Darken the figure away from the light, which comes from the right, and give its lit edge a rim."""
    box = layer.image.getbbox()
    if box is None:
        return
    part = np.array(layer.image.crop(box))
    middle = figure.x * layer.unit - box[0]
    half = max(1.0, figure.height * 0.15 * layer.unit)
    share = np.clip((np.arange(part.shape[1], dtype=np.float32) - middle) / half, -1, 1)
    factor = 0.9 + 0.14 * share
    shift = max(2, round(figure.height * 0.006 * layer.unit))
    solid = part[..., 3].astype(np.float32)
    beyond = np.zeros_like(solid)
    beyond[:, :-shift] = solid[:, shift:]
    rim = np.maximum(solid - beyond, 0) * (34 / 255)
    for channel in range(3):
        lit = part[..., channel] * factor + rim
        part[..., channel] = np.minimum(lit, 255, out=lit)
    layer.image.paste(Image.fromarray(part), box[:2])


def silhouetted(look: Look, tone: Colour) -> Look:
    """Return a look for somebody close to the camera and out of the light."""
    return Look(
        skin=mix(scaled(look.skin, 0.45), tone, 0.3), hair=mix(scaled(look.hair, 0.5), tone, 0.3),
        coat=mix(scaled(look.coat, 0.66), tone, 0.12), style=look.style, beard=False, glasses=False,
    )  # fmt: skip
