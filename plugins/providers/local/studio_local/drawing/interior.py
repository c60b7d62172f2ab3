"""Indoor sets: a room in perspective, the weather in its window, furniture by the location's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio_local.drawing.canvas import Canvas
from studio_local.drawing.colour import Colour, lit, mix, scaled
from studio_local.drawing.exterior import names, sky
from studio_local.drawing.weather import draw_weather

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from studio_local.drawing.colour import Palette

FLOOR = 0.66
_CEILING = 0.07
_ROOMS: dict[str, tuple[tuple[str, ...], Colour, Colour]] = {
    "kitchen": (("KITCHEN", "DINER", "CAFE", "CANTEEN", "GALLEY"), (214, 206, 178), (158, 132, 104)),
    "office": (("OFFICE", "STUDY", "LIBRARY", "CLASSROOM", "SCHOOL", "ARCHIVE", "NEWSROOM", "POLICE"),
        (176, 184, 182), (120, 100, 84)),
    "bar": (("BAR", "PUB", "CLUB", "RESTAURANT", "TAVERN"), (140, 92, 78), (84, 62, 54)),
    "bedroom": (("BEDROOM", "HOTEL ROOM", "HOSPITAL", "WARD", "DORM"), (190, 186, 206), (150, 126, 108)),
    "lab": (("LAB", "SHIP", "CONTROL", "BRIDGE", "SPACE", "BUNKER", "SUBMARINE", "SERVER"),
        (150, 168, 180), (96, 104, 114)),
    "hall": (("CORRIDOR", "HALL", "STAIR", "LOBBY", "STATION", "CHURCH", "MUSEUM", "WAREHOUSE", "BARN",
        "GARAGE", "LIGHTHOUSE"),
             (180, 172, 158), (128, 116, 106)),
}  # fmt: skip
_LIVING: tuple[tuple[str, ...], Colour, Colour] = ((), (198, 176, 148), (134, 104, 80))


def room_name(location: str) -> str:
    """Return kitchen, office, bar, bedroom, lab, hall, or living for a room that says nothing."""
    return next((name for name, (words, _, _) in _ROOMS.items() if names(location, words)), "living")


def draw_interior(canvas: Canvas, location: str, palette: Palette, weather: str, rng: random.Random) -> None:
    """Draw the whole set; at night lamps are on and the walls keep some warmth."""
    room = room_name(location)
    _, wall, floor = _ROOMS.get(room, _LIVING)
    light = mix(palette.light, palette.glow, 0.42) if palette.lamps else palette.light
    light = scaled(light, 0.8) if palette.lamps else light
    _shell(canvas, lit(wall, light), lit(floor, light))
    window = _window_box(canvas, room, rng)
    _window(canvas, window, palette, weather, rng)
    _FURNITURE[room](canvas, light, palette, rng)
    if palette.lamps:
        _lamp(canvas, (canvas.aspect * 0.16, 0.3), palette)
    else:
        _shaft(canvas, window, palette)


def _shell(canvas: Canvas, wall: Colour, floor: Colour) -> None:
    """Draw back wall, side walls, ceiling and a boarded floor."""
    right = canvas.aspect
    canvas.gradient((0, 0, right, FLOOR), scaled(wall, 0.94), scaled(wall, 1.04))
    canvas.gradient((0, FLOOR, right, 1), scaled(floor, 0.86), scaled(floor, 1.06))
    middle = right / 2
    for i in range(-12, 13):
        canvas.line([(middle + i * 0.085, FLOOR), (middle + i * 0.24, 1.0)], scaled(floor, 0.74), 0.002, 150)
    for i in range(1, 5):
        y = FLOOR + 0.34 * (i / 5) ** 1.7
        canvas.line([(0, y), (right, y)], scaled(floor, 0.8), 0.0014, 90)
    side = 0.16
    canvas.polygon([(0, -0.02), (side, _CEILING), (side, FLOOR), (0, FLOOR + 0.16)], scaled(wall, 0.78))
    canvas.polygon(
        [(right, -0.02), (right - side, _CEILING), (right - side, FLOOR), (right, FLOOR + 0.16)],
        scaled(wall, 0.86),
    )
    canvas.polygon([(0, 0), (right, 0), (right - side, _CEILING), (side, _CEILING)], scaled(wall, 1.12))
    edge = scaled(wall, 0.62)
    for line in (
        [(side, _CEILING), (right - side, _CEILING)], [(side, FLOOR), (right - side, FLOOR)],
        [(side, _CEILING), (side, FLOOR)], [(right - side, _CEILING), (right - side, FLOOR)],
        [(0, FLOOR + 0.16), (side, FLOOR)], [(right, FLOOR + 0.16), (right - side, FLOOR)],
    ):  # fmt: skip
        canvas.line(line, edge, 0.0026, 200)
    canvas.rectangle((side, FLOOR - 0.022, right - side, FLOOR), scaled(wall, 0.8))


def _window_box(canvas: Canvas, room: str, rng: random.Random) -> tuple[float, float, float, float]:
    width, height = (0.6, 0.26) if room in {"office", "lab", "bar"} else (0.36, 0.36)
    left = canvas.aspect * rng.uniform(0.5, 0.58)
    return left, 0.14, left + width, 0.14 + height


def _window(
    canvas: Canvas, box: tuple[float, float, float, float], palette: Palette, weather: str, rng: random.Random
) -> None:
    left, top, right, bottom = box
    frame: Colour = lit((226, 218, 204), mix(palette.light, palette.glow, 0.3))
    canvas.rectangle((left - 0.02, top - 0.02, right + 0.02, bottom + 0.02), frame)
    outside = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    sky(outside, box, palette, rng, clear=weather == "clear")
    draw_weather(outside, weather, palette, box, rng)
    canvas.lay_part(outside, box)
    middle = (left + right) / 2
    canvas.rectangle((middle - 0.006, top, middle + 0.006, bottom), frame)
    canvas.rectangle((left, (top + bottom) / 2 - 0.005, right, (top + bottom) / 2 + 0.005), frame)
    canvas.rectangle((left - 0.035, bottom + 0.012, right + 0.035, bottom + 0.034), scaled(frame, 0.9))
    curtain = lit((150, 84, 74), mix(palette.light, palette.glow, 0.3))
    for x, lean in ((left - 0.05, 1), (right + 0.05, -1)):
        canvas.polygon(
            [
                (x - 0.035, top - 0.04),
                (x + 0.035, top - 0.04),
                (x + 0.025 - lean * 0.02, bottom + 0.06),
                (x - 0.03 - lean * 0.015, bottom + 0.06),
            ],
            curtain,
        )
        for fold in (-0.015, 0.008):
            canvas.line(
                [(x + fold, top - 0.03), (x + fold - lean * 0.012, bottom + 0.05)],
                scaled(curtain, 0.76),
                0.003,
            )
    canvas.line([(left - 0.1, top - 0.042), (right + 0.1, top - 0.042)], scaled(curtain, 0.6), 0.008)


def _shaft(canvas: Canvas, window: tuple[float, float, float, float], palette: Palette) -> None:
    """Let daylight fall on the floor."""
    left, _, right, bottom = window
    layer = Canvas(round(canvas.aspect * canvas.unit / 2), canvas.unit // 2)
    layer.polygon(
        [(left, bottom), (right, bottom), (right - 0.32, 0.98), (left - 0.52, 0.98)], palette.glow, 34
    )
    layer.polygon(
        [(left - 0.2, 0.74), (right - 0.12, 0.74), (right - 0.26, 0.92), (left - 0.4, 0.92)], palette.glow, 52
    )
    layer.blur(0.012)
    canvas.lay(layer)


def _lamp(canvas: Canvas, place: tuple[float, float], palette: Palette) -> None:
    x, y = place
    canvas.glow((x, y), 0.62, palette.glow, 0.42)
    canvas.line([(x, y), (x, 0.78)], (58, 48, 46), 0.007)
    canvas.ellipse((x, 0.785), (0.045, 0.01), (48, 40, 40))
    canvas.polygon(
        [(x - 0.036, y - 0.05), (x + 0.036, y - 0.05), (x + 0.068, y + 0.05), (x - 0.068, y + 0.05)],
        mix(palette.glow, (255, 255, 255), 0.35),
    )
    canvas.glow((x, y + 0.03), 0.14, palette.glow, 0.5)


def _picture(
    canvas: Canvas, box: tuple[float, float, float, float], light: Colour, rng: random.Random
) -> None:
    left, top, right, bottom = box
    canvas.rectangle(box, lit((88, 66, 50), light))
    inner = (left + 0.012, top + 0.012, right - 0.012, bottom - 0.012)
    canvas.gradient(inner, lit((158, 184, 190), light), lit((206, 190, 150), light))
    hill = lit(rng.choice(((96, 120, 90), (120, 96, 88), (84, 104, 124))), light)
    canvas.polygon(
        [
            (left + 0.012, bottom - 0.012),
            (left + 0.05, top + 0.06),
            (left + 0.08, bottom - 0.05),
            (right - 0.03, top + 0.05),
            (right - 0.012, bottom - 0.012),
        ],
        hill,
    )


def _table(canvas: Canvas, box: tuple[float, float, float, float], colour: Colour) -> None:
    left, top, right, foot = box
    for x in (left + 0.03, right - 0.03):
        canvas.line([(x, top), (x, foot)], scaled(colour, 0.66), 0.014)
    canvas.polygon(
        [(left + 0.03, top - 0.035), (right - 0.03, top - 0.035), (right, top), (left, top)],
        scaled(colour, 1.15),
    )
    canvas.rectangle((left, top, right, top + 0.022), scaled(colour, 0.82))


def _shelves(
    canvas: Canvas, box: tuple[float, float, float, float], light: Colour, rng: random.Random
) -> None:
    left, top, right, bottom = box
    wood = lit((104, 78, 60), light)
    canvas.rectangle(box, scaled(wood, 0.7))
    rows = 4
    step = (bottom - top) / rows
    for row in range(rows):
        x, foot = left + 0.012, top + step * (row + 1) - 0.01
        while x < right - 0.02:
            width, height = rng.uniform(0.008, 0.018), step * rng.uniform(0.5, 0.82)
            book = rng.choice(((150, 70, 60), (70, 96, 120), (180, 160, 110), (84, 110, 84), (120, 96, 130)))
            canvas.rectangle((x, foot - height, min(x + width, right - 0.012), foot), lit(book, light))
            x += width + 0.002
        canvas.rectangle((left, foot, right, foot + 0.01), wood)


def _living(canvas: Canvas, light: Colour, palette: Palette, rng: random.Random) -> None:
    _picture(canvas, (canvas.aspect * 0.27, 0.18, canvas.aspect * 0.27 + 0.24, 0.36), light, rng)
    sofa = lit(rng.choice(((104, 122, 118), (146, 96, 78), (96, 100, 132))), light)
    left, right = canvas.aspect * 0.2, canvas.aspect * 0.2 + 0.62
    canvas.rectangle((left, 0.5, right, 0.7), scaled(sofa, 0.9), radius=0.03)
    canvas.rectangle((left + 0.04, 0.6, right - 0.04, 0.7), scaled(sofa, 1.12), radius=0.02)
    canvas.rectangle((left - 0.04, 0.56, left + 0.04, 0.74), sofa, radius=0.025)
    canvas.rectangle((right - 0.04, 0.56, right + 0.04, 0.74), sofa, radius=0.025)
    canvas.line([((left + right) / 2, 0.605), ((left + right) / 2, 0.7)], scaled(sofa, 0.78), 0.004)
    _plant(canvas, (canvas.aspect - 0.3, 0.72), light, rng)
    canvas.blob(
        [(0.4, 0.86), (0.9, 0.8), (1.4, 0.86), (0.95, 0.95)],
        lit(mix((150, 92, 84), palette.haze, 0.15), light),
    )


def _plant(canvas: Canvas, foot: tuple[float, float], light: Colour, rng: random.Random) -> None:
    x, y = foot
    leaf = lit((74, 112, 72), light)
    for _ in range(9):
        lean, up = rng.uniform(-0.09, 0.09), rng.uniform(0.12, 0.24)
        canvas.line(
            [(x, y - 0.06), (x + lean * 0.4, y - up * 0.7), (x + lean, y - up)],
            scaled(leaf, rng.uniform(0.8, 1.15)),
            0.012,
            soft=True,
        )
    canvas.polygon(
        [(x - 0.042, y - 0.075), (x + 0.042, y - 0.075), (x + 0.03, y), (x - 0.03, y)],
        lit((170, 104, 76), light),
    )


def _kitchen(canvas: Canvas, light: Colour, palette: Palette, rng: random.Random) -> None:
    left, cupboard = canvas.aspect * 0.14, lit((132, 156, 150), light)
    for i in range(4):
        box = (left + i * 0.16, 0.15, left + i * 0.16 + 0.152, 0.32)
        canvas.rectangle(box, cupboard, radius=0.006)
        canvas.rectangle((box[0] + 0.014, 0.164, box[2] - 0.014, 0.306), scaled(cupboard, 0.93), radius=0.004)
        canvas.ellipse((box[2] - 0.024, 0.29), (0.005, 0.005), scaled(cupboard, 0.5))
    canvas.rectangle((left - 0.02, 0.5, left + 1.0, 0.52), lit((92, 80, 74), light))
    canvas.rectangle((left, 0.52, left + 0.98, 0.7), scaled(cupboard, 0.94))
    for i in range(1, 6):
        canvas.line([(left + i * 0.163, 0.53), (left + i * 0.163, 0.7)], scaled(cupboard, 0.72), 0.003)
    for i in range(5):
        pot = lit(rng.choice(((178, 84, 64), (210, 190, 150), (90, 104, 118))), light)
        x = left + 0.1 + i * 0.1 + rng.uniform(-0.02, 0.02)
        canvas.rectangle((x, 0.5 - rng.uniform(0.03, 0.07), x + 0.045, 0.5), pot, radius=0.006)
    _table(
        canvas,
        (canvas.aspect * 0.56, 0.7, canvas.aspect * 0.56 + 0.46, 0.86),
        lit(mix((150, 110, 78), palette.haze, 0.1), light),
    )


def _office(canvas: Canvas, light: Colour, palette: Palette, rng: random.Random) -> None:
    _shelves(canvas, (canvas.aspect * 0.13, 0.14, canvas.aspect * 0.13 + 0.4, 0.64), light, rng)
    desk = lit((122, 90, 66), light)
    _table(canvas, (canvas.aspect * 0.5, 0.62, canvas.aspect * 0.5 + 0.6, 0.8), desk)
    x = canvas.aspect * 0.5 + 0.2
    canvas.rectangle((x, 0.47, x + 0.17, 0.575), (46, 50, 58), radius=0.008)
    canvas.rectangle((x + 0.01, 0.48, x + 0.16, 0.565), mix(palette.sky_low, (120, 170, 190), 0.6))
    canvas.rectangle((x + 0.075, 0.575, x + 0.095, 0.6), (46, 50, 58))
    canvas.polygon(
        [(x + 0.24, 0.6), (x + 0.36, 0.6), (x + 0.38, 0.61), (x + 0.25, 0.61)], lit((236, 232, 222), light)
    )


def _bar(canvas: Canvas, light: Colour, palette: Palette, rng: random.Random) -> None:
    left = canvas.aspect * 0.12
    for row in range(2):
        y = 0.26 + row * 0.13
        canvas.rectangle((left, y, left + 0.68, y + 0.012), lit((70, 46, 36), light))
        for i in range(22):
            glass = lit(rng.choice(((120, 150, 90), (176, 112, 58), (140, 60, 54), (190, 190, 170))), light)
            x, height = left + 0.015 + i * 0.03, rng.uniform(0.05, 0.085)
            canvas.rectangle((x, y - height * 0.7, x + 0.018, y), glass, radius=0.004)
            canvas.rectangle((x + 0.006, y - height, x + 0.012, y - height * 0.6), glass)
    counter = lit((112, 70, 48), light)
    canvas.rectangle((0, 0.56, canvas.aspect * 0.7, 0.585), scaled(counter, 1.25))
    canvas.gradient((0, 0.585, canvas.aspect * 0.69, 0.78), counter, scaled(counter, 0.7))
    for i in range(3):
        x = canvas.aspect * (0.25 + i * 0.2)
        canvas.glow((x, 0.17), 0.22, palette.glow, 0.35)
        canvas.line([(x, 0.0), (x, 0.14)], (40, 34, 34), 0.003)
        canvas.polygon([(x - 0.02, 0.13), (x + 0.02, 0.13), (x + 0.04, 0.17), (x - 0.04, 0.17)], (64, 48, 42))


def _bedroom(canvas: Canvas, light: Colour, palette: Palette, rng: random.Random) -> None:
    _picture(canvas, (canvas.aspect * 0.3, 0.17, canvas.aspect * 0.3 + 0.18, 0.31), light, rng)
    left, right = canvas.aspect * 0.18, canvas.aspect * 0.18 + 0.66
    canvas.rectangle((left, 0.42, right, 0.66), lit((110, 80, 62), light), radius=0.02)
    canvas.polygon(
        [(left, 0.6), (right, 0.6), (right + 0.1, 0.82), (left - 0.1, 0.82)],
        lit(mix((150, 160, 190), palette.haze, 0.2), light),
    )
    canvas.polygon(
        [(left - 0.1, 0.82), (right + 0.1, 0.82), (right + 0.1, 0.88), (left - 0.1, 0.88)],
        lit((110, 118, 150), light),
    )
    for x in (left + 0.05, left + 0.36):
        canvas.rectangle((x, 0.55, x + 0.24, 0.63), lit((236, 232, 226), light), radius=0.03)
    canvas.line([(left - 0.03, 0.67), (right + 0.03, 0.67)], lit((228, 226, 230), light), 0.014)


def _lab(canvas: Canvas, light: Colour, palette: Palette, rng: random.Random) -> None:
    left = canvas.aspect * 0.13
    for i in range(4):
        box = (left + i * 0.19, 0.16, left + i * 0.19 + 0.17, 0.3)
        canvas.rectangle(box, (34, 40, 48), radius=0.008)
        glow = rng.choice(((92, 200, 190), (120, 180, 230), (230, 170, 90)))
        line = [(box[0] + 0.015 + k * 0.02, 0.23 + rng.uniform(-0.045, 0.045)) for k in range(8)]
        canvas.line(line, mix(glow, palette.haze, 0.1), 0.004)
    console = lit((92, 104, 116), light)
    canvas.polygon(
        [(left, 0.52), (left + 0.95, 0.52), (left + 1.02, 0.62), (left - 0.07, 0.62)], scaled(console, 1.2)
    )
    canvas.gradient((left - 0.07, 0.62, left + 1.02, 0.76), console, scaled(console, 0.7))
    for _ in range(44):
        lamp = rng.choice(((240, 120, 90), (120, 220, 150), (240, 210, 120), (200, 210, 220)))
        x, y = left + rng.random() * 0.94, 0.535 + rng.random() * 0.07
        canvas.rectangle((x, y, x + 0.012, y + 0.006), lamp)


def _hall(canvas: Canvas, light: Colour, palette: Palette, rng: random.Random) -> None:
    stone = lit(mix((206, 198, 184), palette.haze, 0.12), light)
    for i in range(4):
        x = canvas.aspect * (0.12 + i * 0.13) if i < 3 else canvas.aspect * 0.9  # noqa: PLR2004 - the fourth stands beyond the window
        canvas.gradient((x - 0.032, 0.05, x + 0.032, 0.68), stone, scaled(stone, 0.8))
        canvas.rectangle((x - 0.045, 0.04, x + 0.045, 0.075), scaled(stone, 1.08))
        canvas.rectangle((x - 0.045, 0.66, x + 0.045, 0.695), scaled(stone, 0.9))
    door = lit(rng.choice(((104, 70, 52), (72, 86, 84), (92, 60, 60))), light)
    left = canvas.aspect * 0.29
    canvas.rectangle((left - 0.012, 0.27, left + 0.212, FLOOR), scaled(door, 0.6))
    canvas.rectangle((left, 0.285, left + 0.2, FLOOR), door)
    for y in (0.31, 0.48):
        canvas.rectangle((left + 0.03, y, left + 0.17, y + 0.13), scaled(door, 0.86))
    canvas.ellipse((left + 0.178, 0.475), (0.008, 0.008), (206, 176, 96))


_FURNITURE: dict[str, Callable[..., None]] = {
    "living": _living, "kitchen": _kitchen, "office": _office, "bar": _bar, "bedroom": _bedroom, "lab": _lab,
    "hall": _hall,
}  # fmt: skip
