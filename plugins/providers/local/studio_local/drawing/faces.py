"""Heads: skull, hair and features, all from a character's name, so that it stays itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio_local.drawing.colour import INK, WHITE, Colour, lit, mix, pick, scaled

if TYPE_CHECKING:
    from studio_local.drawing.canvas import Canvas, Point

_SKINS: tuple[Colour, ...] = (
    (244, 208, 178),
    (228, 182, 148),
    (198, 146, 110),
    (156, 106, 76),
    (112, 74, 54),
)
_HAIRS: tuple[Colour, ...] = (
    (44, 34, 32),
    (86, 56, 38),
    (150, 104, 58),
    (204, 168, 104),
    (150, 146, 146),
    (128, 58, 38),
)
STYLES = ("short", "long", "bun", "curly", "parted", "cap", "bald", "bob")
_LIGHT = 300
"""Sum of a lit skin's colour below which no eye looks white."""
_FACE_FROM = 0.022
"""Smaller heads (in panel heights) get no face."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a character looks: always the same for a name and colour."""

    skin: Colour
    hair: Colour
    coat: Colour
    style: str
    beard: bool
    glasses: bool


def look_of(name: str, colour: Colour, light: Colour) -> Look:
    """Return the look of `name` in `light`; the coat keeps some of its own colour even at night."""
    coat = mix(lit(colour, light), colour, 0.35)
    style = STYLES[pick(name, "style", len(STYLES))]
    return Look(
        skin=lit(_SKINS[pick(name, "skin", len(_SKINS))], mix(light, WHITE, 0.25)),
        hair=lit(_HAIRS[pick(name, "hair", len(_HAIRS))], mix(light, WHITE, 0.2)),
        coat=coat, style=style,
        beard=style in {"short", "cap", "bald"} and pick(name, "beard", 3) == 0,
        glasses=pick(name, "glasses", 5) == 0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Head:
    """Where a head is: centre, height of the skull, and where it looks (-1 left, 0 ahead, 1 right)."""

    canvas: Canvas
    centre: Point
    size: float
    facing: int
    look: Look

    def at(self, x: float, y: float) -> Point:
        """Return a point in head units: (0, 0) the middle, 1 half a head."""
        return self.centre[0] + x * self.size / 2, self.centre[1] + y * self.size / 2

    def wide(self, width: float) -> float:
        """Return a line width given in half heads."""
        return max(0.0012, width * self.size / 2)


def draw_hair_behind(head: Head) -> None:
    """Draw what falls behind the neck; before the body."""
    look = head.look
    if look.style == "long":
        shape = [
            (-0.74, -0.5),
            (0, -1.02),
            (0.74, -0.5),
            (0.86, 0.5),
            (0.78, 1.45),
            (0, 1.3),
            (-0.78, 1.45),
            (-0.86, 0.5),
        ]
    elif look.style == "bob":
        shape = [
            (-0.76, -0.5),
            (0, -1.02),
            (0.76, -0.5),
            (0.9, 0.55),
            (0.5, 0.95),
            (0, 0.8),
            (-0.5, 0.95),
            (-0.9, 0.55),
        ]
    else:
        return
    head.canvas.blob(
        [head.at(*point) for point in shape], scaled(look.hair, 0.78), ink=INK, width=head.wide(0.03)
    )


def draw_head(head: Head) -> None:
    """Draw skull, face and hair."""
    canvas, look, ink = head.canvas, head.look, head.wide(0.035)
    for side in (-1, 1):
        ear = head.at(side * 0.7 - head.facing * 0.1, 0.08)
        canvas.ellipse(ear, (head.size * 0.075, head.size * 0.11), scaled(look.skin, 0.86))
    skull = [
        (-0.66, -0.25),
        (-0.48, -0.82),
        (0, -0.97),
        (0.48, -0.82),
        (0.66, -0.25),
        (0.6, 0.35),
        (0.32, 0.84),
        (0, 0.99),
        (-0.32, 0.84),
        (-0.6, 0.35),
    ]
    canvas.blob([head.at(*point) for point in skull], look.skin, ink=INK, width=ink)
    if head.size > _FACE_FROM:
        _shadow(head)
        _features(head)
    _hair(head)
    if look.glasses and head.size > _FACE_FROM:
        _glasses(head)


def _shadow(head: Head) -> None:
    """Shade the cheek that is turned away, and the neck side of the jaw."""
    side = -head.facing or -1
    tone = scaled(head.look.skin, 0.87)
    cheek = [(0.62, -0.3), (0.585, 0.33), (0.31, 0.82), (0.06, 0.95), (0.3, 0.55), (0.42, 0.05)]
    head.canvas.blob([head.at(side * x, y) for x, y in cheek], tone)


def _features(head: Head) -> None:
    canvas, look, shift = head.canvas, head.look, head.facing * 0.16
    for side in (-1, 1):
        x = side * 0.29 + shift
        narrow = 0.82 if side == head.facing else 1.0
        canvas.ellipse(
            head.at(x, 0.02),
            (head.size * 0.075 * narrow, head.size * 0.045),
            WHITE if sum(look.skin) > _LIGHT else (224, 226, 232),
        )
        canvas.ellipse(
            head.at(x + head.facing * 0.05, 0.025), (head.size * 0.036, head.size * 0.041), (46, 38, 36)
        )
        canvas.ellipse(
            head.at(x + head.facing * 0.05 + 0.025, 0.0), (head.size * 0.011, head.size * 0.011), WHITE
        )
        canvas.line(
            [head.at(x - 0.16, -0.02), head.at(x, -0.09), head.at(x + 0.16, -0.01)],
            INK,
            head.wide(0.035),
            soft=True,
        )
        brow = [
            head.at(x - 0.19, -0.215 - side * 0.022),
            head.at(x, -0.265),
            head.at(x + 0.19, -0.215 + side * 0.022),
        ]
        canvas.line(brow, scaled(look.hair, 0.7), head.wide(0.065), soft=True)
    dark = scaled(look.skin, 0.66)
    nose = [
        head.at(shift * 1.5 + 0.02, 0.06),
        head.at(shift * 1.7 + head.facing * 0.07 + 0.05, 0.34),
        head.at(shift * 1.5 - 0.06, 0.38),
    ]
    canvas.line(nose, dark, head.wide(0.04), soft=True)
    if look.beard:
        _beard(head)
    lips = scaled(mix(look.skin, (150, 50, 50), 0.4), 0.8)
    canvas.line(
        [head.at(shift * 1.3 - 0.2, 0.61), head.at(shift * 1.3, 0.645), head.at(shift * 1.3 + 0.2, 0.6)],
        lips,
        head.wide(0.055),
        soft=True,
    )
    canvas.line(
        [head.at(shift * 1.3 - 0.09, 0.73), head.at(shift * 1.3 + 0.09, 0.73)],
        scaled(look.skin, 0.8),
        head.wide(0.035),
    )


def _beard(head: Head) -> None:
    shape = [
        (-0.63, 0.12),
        (-0.42, 0.42),
        (0, 0.47),
        (0.42, 0.42),
        (0.63, 0.12),
        (0.58, 0.55),
        (0.32, 0.95),
        (0, 1.1),
        (-0.32, 0.95),
        (-0.58, 0.55),
    ]
    head.canvas.blob([head.at(*point) for point in shape], scaled(head.look.hair, 0.92))


def _glasses(head: Head) -> None:
    shift = head.facing * 0.16
    for side in (-1, 1):
        points = [
            head.at(side * 0.29 + shift + x, 0.03 + y)
            for x, y in ((-0.2, -0.13), (0.2, -0.13), (0.19, 0.14), (-0.19, 0.14), (-0.2, -0.13))
        ]
        head.canvas.line(points, INK, head.wide(0.035))
    head.canvas.line([head.at(shift - 0.09, 0.0), head.at(shift + 0.09, 0.0)], INK, head.wide(0.035))


_TOPS: dict[str, list[tuple[float, float]]] = {
    "short": [(-0.72, 0.02), (-0.72, -0.5), (-0.42, -1.0), (0.1, -1.13), (0.55, -0.92), (0.74, -0.45),
        (0.7, 0.02), (0.56, -0.42), (0.1, -0.6), (-0.4, -0.52)],
    "long": [(-0.82, 0.6), (-0.8, -0.45), (-0.46, -0.99), (0, -1.13), (0.46, -0.99), (0.8, -0.45),
        (0.82, 0.6), (0.63, 0.1), (0.46, -0.5), (0.06, -0.72), (-0.44, -0.46), (-0.64, 0.1)],
    "bun": [(-0.7, 0.0), (-0.68, -0.52), (-0.4, -0.95), (0, -1.06), (0.4, -0.95), (0.68, -0.52),
        (0.7, 0.0), (0.56, -0.42), (0, -0.68), (-0.56, -0.42)],
    "curly": [(-0.82, 0.1), (-0.94, -0.3), (-0.8, -0.72), (-0.52, -1.08), (-0.1, -1.2), (0.34, -1.15),
        (0.72, -0.88), (0.94, -0.42), (0.84, 0.08), (0.62, -0.3), (0.3, -0.52), (-0.1, -0.5),
        (-0.5, -0.42)],
    "parted": [(-0.72, 0.1), (-0.74, -0.5), (-0.5, -0.98), (-0.05, -1.12), (0.5, -1.0), (0.74, -0.48),
        (0.71, 0.08), (0.58, -0.4), (0.3, -0.62), (-0.22, -0.82), (-0.5, -0.4)],
    "bob": [(-0.88, 0.6), (-0.84, -0.4), (-0.5, -0.99), (0, -1.12), (0.5, -0.99), (0.84, -0.4),
        (0.88, 0.6), (0.64, 0.3), (0.57, -0.34), (0, -0.46), (-0.57, -0.34), (-0.64, 0.3)],
    "cap": [(-0.74, -0.34), (-0.66, -0.85), (-0.25, -1.14), (0.25, -1.14), (0.66, -0.85), (0.74, -0.34),
        (0.3, -0.47), (-0.3, -0.47)],
}  # fmt: skip


def _hair(head: Head) -> None:
    style, look = head.look.style, head.look
    if style not in _TOPS:
        return
    tone = scaled(look.coat, 0.7) if style == "cap" else look.hair
    if style == "bun":
        head.canvas.ellipse(head.at(0, -1.14), (head.size * 0.16, head.size * 0.14), scaled(tone, 0.9))
    if style == "cap":
        sides = [
            (-0.7, 0.05),
            (-0.72, -0.4),
            (0, -0.6),
            (0.72, -0.4),
            (0.7, 0.05),
            (0.58, -0.36),
            (0, -0.5),
            (-0.58, -0.36),
        ]
        head.canvas.blob([head.at(*point) for point in sides], look.hair)
    shape = [head.at(x, y) for x, y in _TOPS[style]]
    head.canvas.blob(shape, tone, ink=INK, width=head.wide(0.03))
    if style == "cap":
        peak = [
            (-0.62 + head.facing * 0.2, -0.42),
            (0, -0.52),
            (0.62 + head.facing * 0.2, -0.42),
            (0.5 + head.facing * 0.4, -0.27),
            (-0.5 + head.facing * 0.4, -0.27),
        ]
        head.canvas.blob([head.at(*point) for point in peak], scaled(tone, 0.75))
    elif head.size > _FACE_FROM:
        shine = [head.at(-0.3, -0.88), head.at(0.02, -0.98), head.at(0.32, -0.9)]
        head.canvas.line(shine, mix(tone, WHITE, 0.22), head.wide(0.06), soft=True)
