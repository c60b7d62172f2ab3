"""Outdoor sets: sky, three depths of landscape, ground; which landscape, the location's name says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from studio_local.drawing.canvas import Canvas, ring
from studio_local.drawing.colour import WHITE, Colour, lit, mix, scaled

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from studio_local.drawing.colour import Palette

HORIZON = 0.62
_SHORT = 4
"""Words up to this length count only alone: a STREET is no TREE."""
_SETS: dict[str, tuple[str, ...]] = {
    "sea": ("BEACH", "SEA", "OCEAN", "HARBOUR", "HARBOR", "PIER", "SHORE", "COAST", "DOCK", "BOAT",
        "LIGHTHOUSE", "ISLAND",
            "TIDE", "QUAY", "SHIP"),
    "forest": ("FOREST", "WOOD", "JUNGLE", "PARK", "GARDEN", "ORCHARD", "GLADE", "TREE"),
    "city": ("CITY", "STREET", "ALLEY", "ROOF", "DOWNTOWN", "SQUARE", "STATION", "BRIDGE", "MARKET",
        "TOWN", "BUILDING",
             "HOTEL", "AVENUE", "COURTYARD", "APARTMENT", "BAR", "CAFE", "SCHOOL", "HOSPITAL"),
    "mountain": ("MOUNTAIN", "CLIFF", "VALLEY", "CANYON", "PEAK", "GLACIER", "SUMMIT", "PASS"),
    "desert": ("DESERT", "DUNE", "WASTELAND", "PLAIN", "SAND"),
}  # fmt: skip


def names(location: str, words: tuple[str, ...]) -> bool:
    """Say whether a location holds one of `words`: alone, in the plural, or ending a word ("SEASHORE")."""
    parts = re.findall(r"\w+", location.upper())
    texts = [word for word in words if " " in word]
    return any(part.removesuffix("S") in words or part in words for part in parts) or any(
        text in location.upper() for text in texts
    ) or any(part.endswith(word) for part in parts for word in words if len(word) > _SHORT)  # fmt: skip


def set_name(location: str) -> str:
    """Return sea, forest, city, mountain, desert, or field for a place that says nothing."""
    return next((name for name, words in _SETS.items() if names(location, words)), "field")


def draw_exterior(canvas: Canvas, location: str, palette: Palette, weather: str, rng: random.Random) -> None:
    """Draw the whole set."""
    sky(canvas, (0, 0, canvas.aspect, HORIZON + 0.02), palette, rng, clear=weather in {"clear", "wind"})
    _LANDSCAPES[set_name(location)](canvas, palette, rng, snow=weather == "snow")


def sky(
    canvas: Canvas,
    box: tuple[float, float, float, float],
    palette: Palette,
    rng: random.Random,
    *,
    clear: bool,
) -> None:
    """Draw sky into `box`: stars and moon, or sun and clouds."""
    canvas.gradient(box, palette.sky_top, palette.sky_low)
    left, top, right, bottom = box
    span, drop = right - left, bottom - top
    if palette.name == "night" and clear:
        for _ in range(round(90 * span)):
            place = (left + rng.random() * span, top + rng.random() ** 1.4 * drop)
            size = rng.choice((0.0008, 0.0012, 0.002))
            canvas.ellipse(place, (size, size), WHITE, rng.randrange(90, 230))
    if clear:
        _sun_or_moon(
            canvas, (left + span * rng.uniform(0.62, 0.82), top + drop * _SUN[palette.name]), palette
        )
    clouds = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    for _ in range(round((3 if span > 1 else 1) + span * (2 if clear else 5))):
        place = (left + rng.random() * span, top + drop * rng.uniform(0.08, 0.7))
        _cloud(clouds, place, palette, rng, heavy=not clear)
    clouds.blur(0.006)
    canvas.lay(clouds)


_SUN = {"day": 0.24, "dawn": 0.8, "dusk": 0.82, "night": 0.26}


def _sun_or_moon(canvas: Canvas, place: tuple[float, float], palette: Palette) -> None:
    night = palette.name == "night"
    canvas.glow(
        place, 0.2 if night else 0.42, (190, 205, 240) if night else palette.glow, 0.45 if night else 0.75
    )
    radius = 0.036 if night else 0.045
    canvas.ellipse(place, (radius, radius), (236, 238, 228) if night else mix(palette.glow, WHITE, 0.6))
    if night:
        canvas.ellipse((place[0] + 0.012, place[1] - 0.008), (0.008, 0.008), (210, 212, 206))
        canvas.ellipse((place[0] - 0.011, place[1] + 0.011), (0.006, 0.006), (214, 216, 210))


def _cloud(
    canvas: Canvas, place: tuple[float, float], palette: Palette, rng: random.Random, *, heavy: bool
) -> None:
    tone = mix(palette.sky_low, palette.sky_top if heavy else WHITE, 0.45 if palette.name != "night" else 0.2)
    x, y = place
    for _ in range(7):
        width, height = rng.uniform(0.06, 0.17), rng.uniform(0.01, 0.026)
        middle = (x + rng.uniform(-0.15, 0.15), y + rng.uniform(-0.016, 0.012))
        canvas.ellipse(middle, (width, height), tone, 90 if heavy else 120)


def _ground(canvas: Canvas, colour: Colour, palette: Palette) -> None:
    near = lit(colour, palette.light)
    canvas.gradient((0, HORIZON, canvas.aspect, 1), mix(near, palette.haze, 0.5), scaled(near, 0.82))


def _ridge(
    canvas: Canvas, base: float, height: float, colour: Colour, rng: random.Random, *, steps: int, sharp: bool
) -> None:
    """Draw a row of hills or peaks from edge to edge."""
    points = [(-0.1, base)]
    for i in range(steps + 1):
        up = height * rng.uniform(0.25, 1.0) * (1.0 if not sharp or i % 2 else 0.35)
        points.append((canvas.aspect * i / steps + rng.uniform(-0.02, 0.02), base - up))
    points.append((canvas.aspect + 0.1, base))
    if sharp:
        canvas.polygon(points, colour)
    else:
        canvas.blob([(-0.1, base + 0.1), *points, (canvas.aspect + 0.1, base + 0.1)], colour)


def _field(canvas: Canvas, palette: Palette, rng: random.Random, *, snow: bool) -> None:
    grass: Colour = (226, 230, 236) if snow else (118, 148, 84)
    _ridge(
        canvas,
        HORIZON + 0.01,
        0.13,
        mix(lit(scaled(grass, 0.8), palette.light), palette.haze, 0.65),
        rng,
        steps=5,
        sharp=False,
    )
    _ground(canvas, grass, palette)
    for _ in range(9):
        x = rng.random() * canvas.aspect
        tree(canvas, (x, HORIZON + rng.uniform(0.0, 0.03)), rng.uniform(0.06, 0.12), palette, rng, snow=snow)
    path = lit(mix(grass, (196, 170, 128), 0.7), palette.light)
    canvas.blob(
        [(0.82, HORIZON), (0.9, HORIZON), (0.86, 0.72), (1.25, 1.1), (0.35, 1.1), (0.78, 0.74)],
        mix(path, palette.haze, 0.2),
    )
    _tufts(canvas, scaled(lit(grass, palette.light), 0.72), rng)


def _tufts(canvas: Canvas, colour: Colour, rng: random.Random) -> None:
    for _ in range(46):
        depth = rng.random() ** 0.6
        x, y = rng.random() * canvas.aspect, HORIZON + 0.04 + depth * 0.34
        size = 0.006 + depth * 0.022
        for lean in (-0.5, 0.0, 0.5):
            canvas.line([(x, y), (x + lean * size, y - size)], colour, 0.0012 + depth * 0.0014, 170)


def tree(
    canvas: Canvas, foot: tuple[float, float], height: float, palette: Palette, rng: random.Random, *,
    snow: bool = False, near: float = 0.0,
) -> None:  # fmt: skip
    """Draw a leafy tree; `near` 0-1 takes it out of the haze."""
    x, y = foot
    leaf = mix(lit((70, 104, 62), palette.light), palette.haze, 0.45 * (1 - near))
    trunk = mix(lit((74, 56, 44), palette.light), palette.haze, 0.4 * (1 - near))
    canvas.polygon(
        [
            (x - height * 0.045, y),
            (x + height * 0.045, y),
            (x + height * 0.02, y - height * 0.6),
            (x - height * 0.02, y - height * 0.6),
        ],
        trunk,
    )
    wobble = [rng.uniform(-0.14, 0.14) for _ in range(11)]
    centre = (x, y - height * 0.66)
    canvas.blob(ring(centre, (height * 0.3, height * 0.36), 11, wobble), scaled(leaf, 0.86))
    canvas.blob(
        ring((x - height * 0.05, y - height * 0.72), (height * 0.2, height * 0.24), 9, wobble),
        scaled(leaf, 1.08),
    )
    if snow:
        canvas.blob(
            ring((x, y - height * 0.88), (height * 0.2, height * 0.1), 9, wobble),
            lit((236, 240, 246), palette.light),
        )


def _forest(canvas: Canvas, palette: Palette, rng: random.Random, *, snow: bool) -> None:
    ground: Colour = (224, 228, 234) if snow else (92, 104, 66)
    _ground(canvas, ground, palette)
    for depth in (0.15, 0.5, 0.85):
        bark = mix(lit((62, 52, 46), palette.light), palette.haze, 0.75 * (1 - depth))
        for _ in range(round(26 - 16 * depth)):
            x, width = rng.random() * canvas.aspect, 0.008 + 0.03 * depth * rng.uniform(0.7, 1.3)
            foot = HORIZON + 0.01 + 0.1 * depth
            canvas.polygon(
                [(x - width, foot), (x + width, foot), (x + width * 0.6, -0.05), (x - width * 0.6, -0.05)],
                bark,
            )
            if snow:
                canvas.line(
                    [(x - width * 0.7, foot), (x - width * 0.5, 0)],
                    lit(WHITE, palette.light),
                    width * 0.35,
                    150,
                )
        crown = mix(lit((58, 88, 54), palette.light), palette.haze, 0.6 * (1 - depth))
        for _ in range(9):
            place = (rng.random() * canvas.aspect, rng.uniform(-0.02, 0.12 + 0.1 * (1 - depth)))
            canvas.blob(ring(place, (0.2, 0.1), 10, [rng.uniform(-0.2, 0.2) for _ in range(10)]), crown)
    _tufts(canvas, scaled(lit(ground, palette.light), 0.7), rng)


def _city(canvas: Canvas, palette: Palette, rng: random.Random, *, snow: bool) -> None:
    street: Colour = (204, 208, 216) if snow else (112, 112, 120)
    for depth in (0.0, 0.5):
        x = -0.1
        while x < canvas.aspect:
            width = rng.uniform(0.09, 0.2)
            wall = rng.choice(((150, 128, 118), (126, 132, 146), (164, 152, 132), (118, 110, 116)))
            tone = mix(lit(wall, palette.light), palette.haze, 0.72 - depth)
            _building(
                canvas,
                (x, HORIZON - rng.uniform(0.2, 0.52) + depth * 0.1, x + width, HORIZON + 0.02),
                tone,
                palette,
                rng,
            )
            x += width + rng.uniform(0.0, 0.03)
    _ground(canvas, street, palette)
    curb = scaled(lit(street, palette.light), 1.18)
    middle = canvas.aspect / 2
    canvas.polygon([(0, HORIZON + 0.03), (middle - 0.24, HORIZON + 0.01), (middle - 0.75, 1), (0, 1)], curb)
    canvas.polygon(
        [
            (canvas.aspect, HORIZON + 0.03),
            (middle + 0.24, HORIZON + 0.01),
            (middle + 0.75, 1),
            (canvas.aspect, 1),
        ],
        curb,
    )
    for i in range(5):
        near = (i / 5) ** 1.6
        y, size = HORIZON + 0.03 + near * 0.34, 0.006 + near * 0.02
        canvas.polygon(
            [
                (middle - size, y),
                (middle + size, y),
                (middle + size * 1.4, y + size * 3),
                (middle - size * 1.4, y + size * 3),
            ],
            mix(curb, WHITE, 0.4),
        )
    for side in (0.16, 0.84):
        _street_lamp(canvas, (canvas.aspect * side, 0.84), palette)


def _building(
    canvas: Canvas, box: tuple[float, float, float, float], tone: Colour, palette: Palette, rng: random.Random
) -> None:
    left, top, right, bottom = box
    canvas.gradient(box, tone, mix(tone, palette.haze, 0.25))
    canvas.rectangle((left - 0.004, top - 0.008, right + 0.004, top + 0.006), scaled(tone, 0.82))
    columns = max(2, round((right - left) / 0.035))
    step = (right - left) / columns
    for row in range(int((bottom - top - 0.05) / 0.05)):
        for column in range(columns):
            on = palette.lamps and rng.random() < 0.45  # noqa: PLR2004 - share of lit windows
            pane = palette.glow if on else mix(tone, palette.sky_top, 0.45)
            x, y = left + step * (column + 0.25), top + 0.025 + row * 0.05
            canvas.rectangle((x, y, x + step * 0.5, y + 0.028), scaled(pane, rng.uniform(0.85, 1.0)))


def _street_lamp(canvas: Canvas, foot: tuple[float, float], palette: Palette) -> None:
    x, y = foot
    post = lit((44, 46, 52), palette.light)
    canvas.line([(x, y), (x, y - 0.46)], post, 0.008)
    canvas.line([(x, y - 0.46), (x + 0.05, y - 0.475)], post, 0.006)
    if palette.lamps:
        canvas.glow((x + 0.05, y - 0.46), 0.2, palette.glow, 0.6)
    canvas.rectangle(
        (x + 0.035, y - 0.478, x + 0.07, y - 0.462), palette.glow if palette.lamps else post, radius=0.004
    )


def _sea(canvas: Canvas, palette: Palette, rng: random.Random, *, snow: bool) -> None:
    water = lit((70, 122, 146), palette.light)
    _ridge(canvas, HORIZON, 0.05, mix(water, palette.haze, 0.8), rng, steps=4, sharp=False)
    canvas.gradient(
        (0, HORIZON - 0.035, canvas.aspect, 0.8), mix(water, palette.sky_low, 0.6), scaled(water, 0.9)
    )
    for _ in range(70):
        depth = rng.random() ** 1.5
        x, y, size = rng.random() * canvas.aspect, HORIZON - 0.025 + depth * 0.18, 0.012 + depth * 0.06
        canvas.line(
            [(x - size, y), (x, y - size * 0.07), (x + size, y)],
            mix(palette.sky_low, WHITE, 0.3),
            0.0016,
            110,
            soft=True,
        )
    sand = lit((226, 226, 230) if snow else (206, 184, 146), palette.light)
    shore = [
        (-0.1, 0.79),
        (canvas.aspect * 0.25, 0.76),
        (canvas.aspect * 0.6, 0.79),
        (canvas.aspect + 0.1, 0.75),
    ]
    canvas.blob(
        [*[(x, y - 0.012) for x, y in shore], (canvas.aspect + 0.2, 1.2), (-0.2, 1.2)],
        mix(WHITE, water, 0.25),
    )
    canvas.blob([*shore, (canvas.aspect + 0.2, 1.2), (-0.2, 1.2)], sand)
    for _ in range(40):
        place = (rng.random() * canvas.aspect, rng.uniform(0.83, 1.0))
        canvas.ellipse(place, (rng.uniform(0.003, 0.01), 0.0022), scaled(sand, 0.85), 150)
    _pier(canvas, palette)


def _pier(canvas: Canvas, palette: Palette) -> None:
    wood = mix(lit((92, 74, 62), palette.light), palette.haze, 0.2)
    right = canvas.aspect
    canvas.polygon([(right, 0.6), (right - 0.52, 0.625), (right - 0.52, 0.637), (right, 0.632)], wood)
    for i in range(6):
        x = right - 0.5 + i * 0.1
        canvas.line([(x, 0.63), (x, 0.7 + i * 0.012)], scaled(wood, 0.75), 0.006 + i * 0.0012)


def _mountain(canvas: Canvas, palette: Palette, rng: random.Random, *, snow: bool) -> None:
    rock = lit((112, 112, 124), palette.light)
    for depth in (0.0, 0.35, 0.7):
        tone = mix(rock, palette.haze, 0.75 - depth)
        _ridge(canvas, HORIZON + 0.03, 0.42 - depth * 0.3, tone, rng, steps=9, sharp=True)
        if depth == 0.0:
            _ridge(canvas, HORIZON + 0.03, 0.2, mix(tone, palette.haze, 0.45), rng, steps=6, sharp=False)
    _ground(canvas, (226, 230, 236) if snow else (126, 124, 104), palette)
    for _ in range(16):
        near = rng.random()
        place, size = (rng.random() * canvas.aspect, HORIZON + 0.06 + near * 0.3), 0.012 + near * 0.04
        stone = scaled(rock, rng.uniform(0.7, 0.95))
        canvas.blob(ring(place, (size, size * 0.55), 7, [rng.uniform(-0.2, 0.2) for _ in range(7)]), stone)


def _desert(canvas: Canvas, palette: Palette, rng: random.Random, *, snow: bool) -> None:
    sand: Colour = (226, 228, 234) if snow else (222, 180, 122)
    for depth in (0.0, 0.4, 0.8):
        tone = mix(lit(scaled(sand, 0.95), palette.light), palette.haze, 0.6 - depth * 0.6)
        _ridge(canvas, HORIZON + 0.03 + depth * 0.05, 0.12 - depth * 0.04, tone, rng, steps=4, sharp=False)
    near = lit(sand, palette.light)
    canvas.gradient((0, HORIZON + 0.08, canvas.aspect, 1), near, scaled(near, 0.8))
    for i in range(12):
        y, shift = HORIZON + 0.12 + i * 0.026, rng.uniform(-0.2, 0.2)
        wave = [(canvas.aspect * k / 5 + shift, y + (k % 2) * 0.012) for k in range(-1, 7)]
        canvas.line(wave, scaled(near, 0.86), 0.0022, 120, soft=True)


_LANDSCAPES: dict[str, Callable[..., None]] = {
    "field": _field, "forest": _forest, "city": _city, "sea": _sea, "mountain": _mountain, "desert": _desert,
}  # fmt: skip
