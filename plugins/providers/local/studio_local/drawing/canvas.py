"""A drawing surface with soft edges, in panel heights: (0, 0) top left, (aspect, 1) bottom right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studio_local.drawing.colour import Colour

Point: TypeAlias = "tuple[float, float]"
SUPERSAMPLING = 2
_SMALLER = 4
_DITHER = 4
"""After so many pixels the noise of a gradient repeats."""


class Canvas:
    """An RGBA layer drawn at twice its final size."""

    def __init__(self, width: int, height: int, fill: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
        self.unit = height * SUPERSAMPLING
        self.aspect = width / height
        self.image = Image.new("RGBA", (width * SUPERSAMPLING, height * SUPERSAMPLING), fill)
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def polygon(self, points: Sequence[Point], colour: Colour, alpha: int = 255) -> None:
        """Fill a shape with straight edges."""
        self._draw.polygon(self._pixels(points), fill=(*colour, alpha))

    def blob(
        self, points: Sequence[Point], colour: Colour, *, ink: Colour | None = None, width: float = 0.0
    ) -> None:
        """Fill a shape with soft edges through `points`, and outline it in `ink`."""
        curve = self._pixels(smooth(points))
        self._draw.polygon(curve, fill=colour)
        if ink:
            line = max(1, round(width * self.unit))
            self._draw.line([*curve, *curve[:2]], fill=ink, width=line, joint="curve")

    def line(
        self, points: Sequence[Point], colour: Colour, width: float, alpha: int = 255, *, soft: bool = False
    ) -> None:
        """Draw a line of `width` with round ends; `soft` bends it through its points."""
        pixels = self._pixels(smooth(points, closed=False) if soft else points)
        size = max(1, round(width * self.unit))
        self._draw.line(pixels, fill=(*colour, alpha), width=size, joint="curve")
        if size > 3 and alpha == 255:  # noqa: PLR2004 - thin or clear lines need no round ends
            for x, y in (pixels[0], pixels[-1]):
                half = size / 2
                self._draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)

    def ellipse(self, centre: Point, size: Point, colour: Colour, alpha: int = 255) -> None:
        """Fill an ellipse with half axes `size`."""
        (x, y), (a, b) = centre, size
        box = [value * self.unit for value in (x - a, y - b, x + a, y + b)]
        self._draw.ellipse(box, fill=(*colour, alpha))

    def rectangle(
        self, box: tuple[float, float, float, float], colour: Colour, alpha: int = 255, *, radius: float = 0.0
    ) -> None:
        """Fill a rectangle (left, top, right, bottom)."""
        pixels = [round(value * self.unit) for value in box]
        if pixels[2] < pixels[0] or pixels[3] < pixels[1]:
            return
        self._draw.rounded_rectangle(pixels, round(radius * self.unit), fill=(*colour, alpha))

    def gradient(self, box: tuple[float, float, float, float], top: Colour, bottom: Colour) -> None:
        """Fill a rectangle from `top` to `bottom`, with a little noise against banding."""
        left, upper, right, lower = (round(value * self.unit) for value in box)
        height, width = max(1, lower - upper), max(1, right - left)
        share = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        rows = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share
        dither = (np.arange(_DITHER) * 7 % _DITHER - 1.5)[None, :, None] * 0.3
        column = np.clip(rows[:, None, :] + dither, 0, 255).astype(np.uint8)
        filled = np.tile(column, (1, -(-width // _DITHER), 1))[:, :width]
        self.image.paste(Image.fromarray(np.ascontiguousarray(filled)), (left, upper))

    def glow(self, centre: Point, radius: float, colour: Colour, strength: float) -> None:
        """Add a soft light; `strength` 0-1 in its middle."""
        size = 96
        axis = np.linspace(-1, 1, size, dtype=np.float32)
        distance = np.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)
        alpha = (np.clip(1 - distance, 0, 1) ** 2 * 255 * strength).astype(np.uint8)
        diameter = max(2, round(radius * 2 * self.unit))
        mask = Image.fromarray(alpha).resize((diameter, diameter), Image.Resampling.BILINEAR)
        place = (round((centre[0] - radius) * self.unit), round((centre[1] - radius) * self.unit))
        self.image.paste(Image.new("RGBA", mask.size, (*colour, 255)), place, mask)

    def veil(self, colour: Colour, alpha: int) -> None:
        """Lay one colour over everything."""
        self.image.alpha_composite(Image.new("RGBA", self.image.size, (*colour, alpha)))

    def lay(self, other: Canvas) -> None:
        """Put another layer on top."""
        self.image.alpha_composite(other.image)

    def lay_part(self, other: Canvas, box: tuple[float, float, float, float]) -> None:
        """Put what stands inside `box` of another layer on top."""
        left, top, right, bottom = (round(value * self.unit) for value in box)
        self.image.alpha_composite(other.image, (left, top), (left, top, right, bottom))

    def blur(self, radius: float) -> None:
        """Blur everything by `radius` (panel heights); at a quarter of the size, where nobody sees the difference."""
        # "RGBa" counts a clear pixel's colour as nothing; plain RGBA would bleed black into every edge.
        small = self.image.convert("RGBa").reduce(_SMALLER).filter(self._gaussian(radius))
        self._replace(small.resize(self.image.size, Image.Resampling.BILINEAR).convert("RGBA"))

    def closer(self, factor: float, centre: Point, blur: float) -> None:
        """Enlarge the picture, which hides everything behind it, round `centre`, and blur it as `blur` does."""
        width, height = self.image.width / factor, self.image.height / factor
        left = min(max(0.0, centre[0] * self.unit - width / 2), self.image.width - width)
        top = min(max(0.0, centre[1] * self.unit - height / 2), self.image.height - height)
        box = (left, top, left + width, top + height)
        opaque = self.image.convert("RGB")  # with alpha, Pillow would weigh every pixel by it and back
        if blur:
            size = (opaque.width // _SMALLER, opaque.height // _SMALLER)
            small = opaque.resize(size, Image.Resampling.BOX, box=box).filter(self._gaussian(blur))
            opaque, box = small, (0, 0, *size)
        self._replace(opaque.resize(self.image.size, Image.Resampling.BILINEAR, box=box).convert("RGBA"))

    def _gaussian(self, radius: float) -> ImageFilter.GaussianBlur:
        return ImageFilter.GaussianBlur(radius * self.unit / _SMALLER)

    def finished(self) -> Image.Image:
        """Return the picture at its final size, without alpha."""
        return self.image.convert("RGB").reduce(SUPERSAMPLING)

    def _replace(self, image: Image.Image) -> None:
        self.image = image
        self._draw = ImageDraw.Draw(image, "RGBA")

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.unit, y * self.unit) for x, y in points]


def smooth(points: Sequence[Point], *, closed: bool = True, steps: int = 8) -> list[Point]:
    """Return a Catmull-Rom curve through `points`."""
    count = len(points)
    curve: list[Point] = []
    for i in range(count if closed else count - 1):
        corners = [points[_index(i + k, count, closed=closed)] for k in (-1, 0, 1, 2)]
        curve += [_catmull(corners, step / steps) for step in range(steps)]
    return curve if closed else [*curve, points[-1]]


def _index(i: int, count: int, *, closed: bool) -> int:
    return i % count if closed else min(max(i, 0), count - 1)


def _catmull(p: Sequence[Point], t: float) -> Point:
    a, b, c, d = p
    return (_spline(a[0], b[0], c[0], d[0], t), _spline(a[1], b[1], c[1], d[1], t))


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def ring(centre: Point, size: Point, count: int, wobble: Sequence[float]) -> list[Point]:
    """Return `count` points round an ellipse, each drawn in or out by its `wobble`."""
    points = []
    for i in range(count):
        angle, grow = 2 * math.pi * i / count, 1 + wobble[i % len(wobble)]
        points.append(
            (centre[0] + size[0] * grow * math.cos(angle), centre[1] + size[1] * grow * math.sin(angle))
        )
    return points
