"""What a panel must show, as a structured brief and as a prompt; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import CharacterBrief, ShotBrief
from studio_stories.api import ShotPrompt
from studio_stories.stale import basis_of

if TYPE_CHECKING:
    from studio import Doc


def prompt_of(shot: Doc, scene: Doc, cast: list[Doc], location: Doc | None, time_of_day: str) -> ShotPrompt:
    """Return the brief of a shot and its prompt: what is seen, where and when, how everybody looks."""
    heading = scene["heading"]
    place = location["name"] if location else heading["location_name"]
    brief = ShotBrief(
        code=shot["code"],
        int_ext=heading["int_ext"],
        location=place,
        time_of_day=time_of_day,
        weather=shot["weather"],
        shot_size=shot["shot_size"],
        movement=shot["movement"],
        characters=tuple(CharacterBrief(name=doc["name"], colour=doc["colour"]) for doc in cast),
        description=shot["description"],
    )
    detail = location["description"] if location else ""
    looks = [f"{doc['name']}: {text}" for doc in cast if (text := _looks(doc))]
    where = ", ".join(filter(None, (place, detail, time_of_day, shot["weather"])))
    parts = [shot["prompt"] or shot["description"], f"{heading['int_ext']} {where}", *looks]
    return ShotPrompt(brief, ". ".join(filter(None, parts)), basis_of(shot, "panel"))


def _looks(character: Doc) -> str:
    return ", ".join(filter(None, (character["description"], *map(str, character["appearance"].values()))))
