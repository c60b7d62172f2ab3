"""The slate: code, slug line, shot size, movement and caption, in the upper corners, where no subtitle comes.

A panel carries it as a note in its file (the JPEG comment), not in its pixels: a film lays it over the moving
picture, where it stands still, and whoever pushes in on a face does not push in on letters.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

FONTS = Path(__file__).resolve().parents[1] / "fonts"
_DARK = (18, 18, 24, 196)
_ACCENT = (245, 196, 83)
_PALE = (240, 238, 232)
_MARGIN_X, _MARGIN_Y = 0.06, 0.05
"""In heights of the picture; what televisions leave of it. Source: EBU R 95, graphics safe area, 5 %."""
_CAPTION = 58
"""Longest caption line, characters."""
_ARROWS = {
    "push_in": "→ ←", "pull_out": "← →", "pan_left": "←", "pan_right": "→", "tilt_up": "↑", "tilt_down": "↓",
}  # fmt: skip

_NOTED = ("code", "int_ext", "location", "time_of_day", "shot_size", "movement", "caption")
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Overlay:
    """The slate as a picture with alpha, and the even place of its upper left corner."""

    image: Image.Image
    place: tuple[int, int]


def note_of(brief: dict[str, Any]) -> bytes:
    """Return what a panel's file says of its slate."""
    return json.dumps({"studioSlate": {key: brief[key] or "" for key in _NOTED}}).encode()


def overlay_of(comment: object, size: tuple[int, int]) -> Overlay | None:
    """Draw the slate that a file's comment notes for a picture of `size`; None when it notes none."""
    brief = _noted(comment)
    if brief is None:
        return None
    whole = Image.new("RGBA", size)
    draw_slate(whole, brief)
    box = whole.getbbox()
    if box is None:
        return None
    left, top, right, bottom = box[0] // 2 * 2, box[1] // 2 * 2, -(-box[2] // 2) * 2, -(-box[3] // 2) * 2
    return Overlay(whole.crop((left, top, right, bottom)), (left, top))


def _noted(comment: object) -> dict[str, str] | None:
    """Read a note that anybody may have written."""
    try:
        found = json.loads(comment)["studioSlate"] if isinstance(comment, bytes) else None
        return {key: str(found[key])[:_LONGEST] for key in _NOTED} if isinstance(found, dict) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


@lru_cache(maxsize=32)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the shipped font; the one inside Pillow lacks the dash and every accent."""
    return ImageFont.truetype(str(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


def draw_slate(image: Image.Image, brief: dict[str, Any]) -> None:
    """Write the slate onto a picture; on one with alpha, as its only ink."""
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
