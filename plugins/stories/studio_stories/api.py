"""What the stories plugin offers to other plugins, and asks of whoever breaks scripts down.

Ask `ctx.service(Stories)`, and list "stories" in `requires`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from studio import GenerationRequest, Generator, InvalidInputError, ProviderModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studio import Doc, ShotBrief

__all__ = [
    "Breakdown",
    "BreakdownLine",
    "BreakdownRequest",
    "BreakdownShot",
    "ScriptAnalyst",
    "ScriptElement",
    "ScriptScene",
    "ShotPrompt",
    "Stories",
    "scenes_of",
]


@dataclass(frozen=True, slots=True)
class ShotPrompt:
    """What an image provider needs of a shot.

    `basis` names the state it was made from: hand it to `set_current`.
    """

    brief: ShotBrief
    prompt: str
    basis: str


class Stories(Protocol):
    """Stories as other plugins see them.

    Documents are stored ones: snake_case, `_id`. Missing ones raise NotFoundError.
    """

    async def story(self, story_id: str) -> Doc:
        """Return a story."""
        ...

    async def scenes(self, story_id: str) -> list[Doc]:
        """Return the scenes in film order."""
        ...

    async def shot(self, shot_id: str) -> Doc:
        """Return a shot.

        `lines` [{id, character_id, text…}], `current` {slot: asset_id}, `stale` {slot: {…}}.
        """
        ...

    async def shots(self, story_id: str) -> list[Doc]:
        """Return the shots in film order."""
        ...

    async def characters(self, story_id: str) -> list[Doc]:
        """Return the characters by name; `colour`, `voice_setting_id`, `ref_asset_ids`."""
        ...

    async def brief(self, shot: Doc) -> ShotPrompt:
        """Return what a panel of the shot must show, structured and as a prompt."""
        ...

    def basis(self, shot: Doc, slot: str) -> str:
        """Return a hash of what a take in `slot` is made from; equal hashes need no new take."""
        ...

    async def set_current(
        self,
        shot_id: str,
        slot: str,
        asset_id: str,
        *,
        basis: str | None = None,
        why: str = "changed_while_generating",
    ) -> Doc:
        """Point a slot at an asset and clear its stale mark, in one atomic update; returns the shot.

        With the `basis` the take was made from, a shot that changed meanwhile gets its mark instead, which
        says `why`.
        """
        ...

    async def clear_current(self, shot_id: str, slot: str, asset_id: str) -> bool:
        """Empty a slot if it still points at `asset_id`; False when it does not."""
        ...


def scenes_of(scenes: Sequence[Doc], chosen: str | None) -> set[str]:
    """Return the ids of the scenes that "2,5-6" names; raises InvalidInputError with those there are."""
    if chosen is None:
        return {scene["_id"] for scene in scenes}
    found: set[str] = set()
    for part in chosen.split(","):
        first, _, last = part.partition("-")
        start = _position(scenes, first)
        end = _position(scenes, last or first)
        if end < start:
            raise InvalidInputError(f"{part.strip()!r} runs backwards: name the earlier scene first.")
        found |= {scene["_id"] for scene in scenes[start : end + 1]}
    return found


def _position(scenes: Sequence[Doc], number: str) -> int:
    """Return where a scene stands, by the number that the script gives it, else by counting."""
    wanted = number.strip().casefold()
    numbers = [str(scene.get("number") or "").casefold() for scene in scenes]
    if wanted in numbers:
        return numbers.index(wanted)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(scenes) and not any(numbers):
        return int(wanted) - 1
    known = ", ".join(filter(None, numbers)) or f"1-{len(scenes)}"
    raise InvalidInputError(f"There is no scene {number.strip()!r}; there are {known}.", code="unknown_scene")


# ---------------------------------------------------------------- capability "breakdown"


class ScriptElement(ProviderModel):
    """One line of action or dialogue. `id` is the line's stable id where it already has one."""

    kind: Literal["action", "dialogue", "transition"]
    text: str
    character: str | None = None
    parenthetical: str = ""
    id: str | None = None


class ScriptScene(ProviderModel):
    """One scene as the importer parsed it. `elements` are in script order."""

    number: str
    int_ext: Literal["INT", "EXT", "INT/EXT"]
    location: str
    time_of_day: str
    elements: tuple[ScriptElement, ...] = ()


class BreakdownRequest(GenerationRequest):
    """Break scenes down into shots. The answer is `Breakdown` in `Generation.data["breakdown"]`."""

    title: str
    scenes: tuple[ScriptScene, ...]
    language: str = "en"


class BreakdownLine(ProviderModel):
    """A spoken line inside a shot; `character` None is the narrator."""

    text: str
    character: str | None = None
    parenthetical: str = ""
    emotion: str = ""


class BreakdownShot(ProviderModel):
    """One planned shot of a scene (`scene` is the index into the request's scenes)."""

    scene: int
    code: str
    description: str
    shot_size: str
    angle: str = "eye"
    movement: str = "static"
    duration_ms: int
    characters: tuple[str, ...] = ()
    lines: tuple[BreakdownLine, ...] = ()
    weather: str = "clear"
    mood: str = "neutral"
    image_prompt: str = ""


class Breakdown(ProviderModel):
    """The whole plan: shots in film order, every character and prop named in the script."""

    shots: tuple[BreakdownShot, ...]
    characters: tuple[str, ...] = ()
    props: tuple[str, ...] = ()
    synopses: tuple[str, ...] = ()
    """One sentence per scene of the request, same order."""


class ScriptAnalyst(Generator, Protocol):
    """Breaks scripts down: `BreakdownRequest` → `data["breakdown"]`."""
