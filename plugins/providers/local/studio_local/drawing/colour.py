"""Colours: arithmetic, and the palette of a set at a time of day in a weather."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (24, 22, 30)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` with `share` (0-1) of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a darker (factor < 1) or lighter colour."""
    red, green, blue = (max(0, min(255, round(part * factor))) for part in colour)
    return red, green, blue


def lit(colour: Colour, light: Colour) -> Colour:
    """Return how `colour` looks in `light` (white changes nothing)."""
    red, green, blue = (round(a * b / 255) for a, b in zip(colour, light, strict=True))
    return red, green, blue


def parse(text: str) -> Colour:
    """Return "#rrggbb" as numbers; grey for anything else."""
    digits = text.lstrip("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        return 136, 136, 136
    return red, green, blue


def pick(name: str, topic: str, choices: int) -> int:
    """Return a number below `choices` that is always the same for `name` and `topic`."""
    return int.from_bytes(hashlib.sha256(f"{topic}:{name}".encode()).digest()[:4]) % choices


@dataclass(frozen=True, slots=True)
class Palette:
    """The light of a panel: sky from top to horizon, what surfaces are lit with, and the glow of lamps."""

    name: str
    sky_top: Colour
    sky_low: Colour
    light: Colour
    haze: Colour
    glow: Colour
    lamps: bool = False


_TIMES = {
    "day": Palette("day", (112, 172, 220), (226, 238, 240), (255, 253, 248), (206, 222, 232),
        (255, 246, 214)),
    "dawn": Palette("dawn", (116, 138, 190), (252, 208, 172), (246, 224, 218), (228, 196, 190),
        (255, 220, 170)),
    "dusk": Palette("dusk", (62, 56, 110), (244, 148, 92), (232, 186, 172), (190, 120, 112),
        (255, 176, 100), lamps=True),
    "night": Palette("night", (9, 14, 36), (44, 62, 104), (104, 120, 168), (38, 52, 88), (255, 208, 128),
        lamps=True),
}  # fmt: skip
_WORDS = {
    "night": ("NIGHT", "MIDNIGHT", "EVENING LATE"),
    "dawn": ("DAWN", "SUNRISE", "EARLY MORNING", "FIRST LIGHT"),
    "dusk": ("DUSK", "SUNSET", "EVENING", "MAGIC", "TWILIGHT"),
}
_GREY = {"rain": 0.55, "storm": 0.7, "fog": 0.5, "snow": 0.45, "wind": 0.15}


def time_name(time_of_day: str) -> str:
    """Return day, dawn, dusk or night for what a slug line says."""
    upper = time_of_day.upper()
    return next((name for name, words in _WORDS.items() if any(word in upper for word in words)), "day")


def palette_for(time_of_day: str, weather: str) -> Palette:
    """Return the palette; bad weather takes the colour out of the sky."""
    palette = _TIMES[time_name(time_of_day)]
    grey = _GREY.get(weather, 0.0)
    if not grey:
        return palette
    value = sum(palette.sky_low) // 3
    dull = (value, value + 3, value + 8) if value < 240 else (232, 234, 238)  # noqa: PLR2004 - near white
    dark = 0.62 if weather == "storm" else 0.85
    return replace(
        palette,
        sky_top=scaled(mix(palette.sky_top, dull, grey), dark), sky_low=mix(palette.sky_low, dull, grey),
        light=scaled(mix(palette.light, dull, grey * 0.4), 0.92), haze=mix(palette.haze, dull, grey),
    )  # fmt: skip
