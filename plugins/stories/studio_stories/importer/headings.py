"""Scene headings: "INT. KITCHEN - NIGHT" and its relatives, in the words of several languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio_stories.importer.model import IntExt

_PLACE = r"INT\.?\s?/\s?EXT|EXT\.?\s?/\s?INT|INT|EXT|(?-i:EST)|I\s?/\s?E|E\s?/\s?I"
HEADING = re.compile(rf"^\s*(?P<place>{_PLACE})(?:\.\s*|\s+)(?P<rest>\S.*)$", re.IGNORECASE)
"""An unforced heading. Source: fountain.io/syntax, Scene Headings."""
FOREIGN = re.compile(
    r"^\s*(?P<place>INNEN|AU(?:SS|ß|ẞ)EN|INT[ÉE]RIEUR|EXT[ÉE]RIEUR|INTERIOR|EXTERIOR|INTERNO|ESTERNO)"
    r"(?:\.\s*|\s+)(?P<rest>\S.*)$",
    re.IGNORECASE,
)
FADE = re.compile(r"^FADE (?:IN|OUT|TO BLACK|TO WHITE)[.:]?$")
SCENE_NUMBER = re.compile(r"^(?P<text>.*?)\s*#(?P<number>[A-Za-z0-9.\-]+)#\s*$")
_DASH = re.compile(r"\s+[-–—]+\s+|\s*[–—]\s*")  # noqa: RUF001 - scripts use every dash
_TIMES = frozenset(
    [
        "DAY",
        "NIGHT",
        "MORNING",
        "EVENING",
        "AFTERNOON",
        "DAWN",
        "DUSK",
        "NOON",
        "MIDNIGHT",
        "SUNSET",
        "SUNRISE",
        "TWILIGHT",
        "CONTINUOUS",
        "LATER",
        "SAME",
        "MOMENTS",
        "MAGIC",
        "JOUR",
        "NUIT",
        "MATIN",
        "SOIR",
        "AUBE",
        "CRÉPUSCULE",
        "TAG",
        "NACHT",
        "MORGEN",
        "ABEND",
        "DÄMMERUNG",
        "DÍA",
        "DIA",
        "NOCHE",
        "MAÑANA",
        "TARDE",
        "NOITE",
        "MANHÃ",
        "GIORNO",
        "NOTTE",
        "MATTINA",
        "SERA",
        "ДЕНЬ",
        "НОЧЬ",
        "УТРО",  # noqa: RUF001 - Russian is what it is
        "ВЕЧЕР",
        "日",
        "夜",
        "朝",
        "夕",
    ]
)
UNTIMED = frozenset({"", "CONTINUOUS", "LATER", "SAME", "MOMENTS"})
"""First words of a time that says nothing by itself: the time of the scene before goes on."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading taken apart.

    `location` and `time_of_day` are as written, the time empty when there is none.
    """

    int_ext: IntExt
    location: str
    time_of_day: str


def split_heading(text: str) -> Heading:
    """Take a heading apart; a forced one without INT or EXT counts as an interior."""
    match = HEADING.match(text) or FOREIGN.match(text)
    place, rest = (match["place"].upper(), match["rest"]) if match else ("INT", text)
    location, time_of_day = _split_time(rest.strip())
    return Heading(_side(place), location, time_of_day)


def join_heading(int_ext: IntExt, location: str, time_of_day: str) -> str:
    """Write a heading whose parts were edited."""
    side = "INT./EXT." if int_ext == "INT/EXT" else f"{int_ext}."
    return f"{side} {location}" + (f" - {time_of_day}" if time_of_day else "")


def _side(place: str) -> IntExt:
    if "/" in place:
        return "INT/EXT"
    return "EXT" if place.startswith(("E", "AU")) else "INT"


def _split_time(rest: str) -> tuple[str, str]:
    cuts = list(_DASH.finditer(rest))
    ends = [*(cut.start() for cut in cuts[1:]), len(rest)][: len(cuts)]
    for cut, end in zip(cuts, ends, strict=True):
        words = re.findall(r"\w+", rest[cut.end() : end].upper())
        if rest[: cut.start()].strip() and any(word in _TIMES for word in words[:3]):
            return rest[: cut.start()].strip(), rest[cut.end() :].strip()
    return rest, ""
