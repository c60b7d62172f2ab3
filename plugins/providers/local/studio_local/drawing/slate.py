"""The slate: code, slug line, shot size, movement and caption, in the upper corners, where no subtitle comes.

It stands as far from the edges as the camera moves (ten per cent of the picture), so that no move cuts it.
"""

from __future__ import annotations

import textwrap
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

FONTS = Path(__file__).resolve().parents[1] / "fonts"
_DARK = (18, 18, 24, 196)
_ACCENT = (245, 196, 83)
_PALE = (240, 238, 232)
_MARGIN_X, _MARGIN_Y = 0.172, 0.096
_CAPTION = 58
"""Longest caption line, characters."""
_ARROWS = {
    "push_in": "→ ←", "pull_out": "← →", "pan_left": "←", "pan_right": "→", "tilt_up": "↑", "tilt_down": "↓",
}  # fmt: skip


@lru_cache(maxsize=32)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the shipped font; the one inside Pillow lacks the dash and every accent."""
    return ImageFont.truetype(str(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


def draw_slate(image: Image.Image, brief: dict[str, Any]) -> None:
    """Write the slate onto a finished panel."""
    draw = ImageDraw.Draw(image, "RGBA")
    unit = image.height
    x, y = round(unit * _MARGIN_X), round(unit * _MARGIN_Y)
    x_after = x
    if brief["code"]:
        x_after = _chip(draw, (x, y), brief["code"], unit, fill=(*_ACCENT, 255), ink=(24, 22, 30), bold=True)
    slug = slug_line(brief)
    if slug:
        _chip(draw, (x_after, y), slug, unit, fill=_DARK, ink=_PALE)
    _corner(draw, image, brief, y)
    caption = (brief["caption"] or "").strip()
    if caption:
        _caption(draw, (x, y + round(unit * 0.058)), caption, unit)


def slug_line(brief: dict[str, Any]) -> str:
    """Return the scene heading, e.g. "EXT. HARBOUR — NIGHT"."""
    place = f"{brief['int_ext']}. {brief['location']}".upper() if brief["location"] else ""
    return " — ".join(part for part in (place, brief["time_of_day"].upper()) if part)


def _chip(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, unit: int, *,
    fill: tuple[int, ...], ink: tuple[int, ...], bold: bool = False,
) -> int:  # fmt: skip
    """Draw text on a bar and return where the next one begins."""
    face = font(round(unit * 0.025), bold=bold)
    text = textwrap.shorten(text, _CAPTION, placeholder="…")
    pad, height = round(unit * 0.014), round(unit * 0.046)
    x, y = place
    width = round(draw.textlength(text, font=face)) + 2 * pad
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=fill)
    draw.text((x + pad, y + height / 2), text, font=face, fill=ink, anchor="lm")
    return x + width


def _corner(draw: ImageDraw.ImageDraw, image: Image.Image, brief: dict[str, Any], y: int) -> None:
    text = " ".join(part for part in (brief["shot_size"], _ARROWS.get(brief["movement"], "")) if part)
    face = font(round(image.height * 0.025), bold=True)
    width = round(draw.textlength(text, font=face)) + round(image.height * 0.028)
    left = image.width - round(image.height * _MARGIN_X) - width
    _chip(draw, (left, y), text, image.height, fill=_DARK, ink=_ACCENT, bold=True)


def _caption(draw: ImageDraw.ImageDraw, place: tuple[int, int], caption: str, unit: int) -> None:
    face = font(round(unit * 0.022))
    rows = textwrap.wrap(caption, _CAPTION)
    shown = [*rows[:1], textwrap.shorten(" ".join(rows[1:]), _CAPTION, placeholder="…")] if rows[1:] else rows
    step = round(unit * 0.033)
    for i, row in enumerate(shown):
        x, y = place[0], place[1] + i * step
        width = draw.textlength(row, font=face)
        draw.rectangle((x, y, x + width + 2 * unit * 0.011, y + step - 1), fill=(18, 18, 24, 140))
        draw.text((x + unit * 0.011, y + step / 2), row, font=face, fill=_PALE, anchor="lm")
