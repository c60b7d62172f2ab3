"""From scenes to shots: an establishing shot, then beats of action and dialogue."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from studio_local.breakdown.words import (
    NOT_NAMES,
    action_size,
    mood_of,
    movement_of,
    props_in,
    weather_of,
    words_of,
)
from studio_stories.api import Breakdown, BreakdownLine, BreakdownShot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from studio_stories.api import ScriptElement, ScriptScene

WORDS_PER_MINUTE = 165
_LINE_PAUSE_MS = 350
_BEAT_MS = 700
_SHORTEST_MS, _LONGEST_ACTION_MS = 2500, 5000
_LINES_PER_SHOT = 3
_TALK_MS = 12_000
"""Dialogue beyond this begins a new shot."""
_SIZE_WORDS = {
    "ELS": "Extreme wide shot", "LS": "Wide shot", "MS": "Medium shot", "MCU": "Medium close-up",
        "CU": "Close-up",
    "ECU": "Extreme close-up", "OTS": "Over-the-shoulder shot", "TWO": "Two-shot",
}  # fmt: skip


@dataclass(slots=True)
class Beat:
    """What one shot will show: an action, spoken lines, or both."""

    action: str = ""
    lines: list[BreakdownLine] = field(default_factory=list)
    establishing: bool = False

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks, in order, each once."""
        return tuple(dict.fromkeys(line.character for line in self.lines if line.character))


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What holds for the whole scene."""

    index: int
    scene: ScriptScene
    people: tuple[str, ...]
    weather: str
    mood: str


def break_down(scenes: Sequence[ScriptScene]) -> Breakdown:
    """Return the plan of all scenes; every dialogue line stands in exactly one shot, in order."""
    people = _people(scenes)
    known = frozenset(people)
    shots: list[BreakdownShot] = []
    for index, scene in enumerate(scenes):
        text = " ".join(element.text for element in scene.elements)
        present = tuple(name for name in people if _appears(name, scene))
        told = f"{scene.location} {scene.time_of_day} {text}"
        facts = SceneFacts(index, scene, present, weather_of(told), mood_of(text))
        shots += _scene_shots(facts)
    props = [prop for scene in scenes for text in _actions(scene) for prop in props_in(text, known)]
    return Breakdown(
        shots=tuple(shots), characters=people, props=tuple(dict.fromkeys(props)),
        synopses=tuple(_synopsis(scene) for scene in scenes),
    )  # fmt: skip


def speech_ms(text: str, parenthetical: str = "") -> int:
    """Return how long a line takes to say at 165 words a minute, with a pause after it and for a "(beat)"."""
    words = max(1, len(words_of(text)))
    beats = text.lower().count("(beat)") + parenthetical.lower().count("beat")
    return words * 60_000 // WORDS_PER_MINUTE + _LINE_PAUSE_MS + beats * _BEAT_MS


def action_ms(text: str) -> int:
    """Return how long an action stands: 2.5 s for a few words, 5 s at most."""
    return min(_LONGEST_ACTION_MS, _SHORTEST_MS + 110 * max(0, len(words_of(text)) - 6))


def shot_code(scene: ScriptScene, index: int, number: int) -> str:
    """Return scene number and shot letter: 3A … 3Z, 3AA; a scene "12A" gives 12A-A."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    scene_number = scene.number.strip().rstrip(".") or str(index + 1)
    return f"{scene_number}-{letters}" if scene_number[-1].isalpha() else f"{scene_number}{letters}"


def _scene_shots(facts: SceneFacts) -> list[BreakdownShot]:
    single, several = cycle(("MCU", "CU", "OTS")), cycle(("TWO", "OTS", "MS"))
    shots = []
    for number, beat in enumerate(_beats(facts.scene)):
        size = _size(beat, facts, single, several)
        shots.append(_shot(beat, facts, size, shot_code(facts.scene, facts.index, number), number))
    return shots


def _beats(scene: ScriptScene) -> list[Beat]:
    """Group the scene's elements into shots; the first one establishes the place."""
    elements = [
        element for element in scene.elements if element.kind != "transition" and element.text.strip()
    ]
    opening, rest = _opening(elements)
    beats = [Beat(opening, establishing=True)]
    for kind, text, element in rest:
        if kind == "action":
            _add_action(beats, text)
        elif element is not None:
            _add_line(beats, element)
    return beats


_Item = tuple[str, str, "ScriptElement | None"]


def _opening(elements: list[ScriptElement]) -> tuple[str, list[_Item]]:
    """Return the first sentence of an opening action, and everything else."""
    items: list[_Item] = [(element.kind, element.text.strip(), element) for element in elements]
    if not items or items[0][0] != "action":
        return "", items
    sentences = re.split(r"(?<=[.!?])\s+", items[0][1], maxsplit=1)
    left = [("action", sentences[1], None)] if len(sentences) > 1 else []
    return sentences[0], [*left, *items[1:]]


def _add_action(beats: list[Beat], text: str) -> None:
    """Begin an action shot, or join a short one to the silent action before it."""
    last = beats[-1]
    joined = f"{last.action} {text}".strip()
    short = len(words_of(joined)) <= 14  # noqa: PLR2004 - one breath of reading
    if not last.lines and not last.establishing and short:
        last.action = joined
    else:
        beats.append(Beat(text))


def _add_line(beats: list[Beat], element: ScriptElement) -> None:
    """Add a line to the running dialogue shot, or begin a new one when that is full."""
    line = BreakdownLine(
        text=element.text.strip(), character=element.character, parenthetical=element.parenthetical,
        emotion=_emotion(element.text, element.parenthetical),
    )  # fmt: skip
    last = beats[-1]
    room = sum(speech_ms(one.text) for one in [*last.lines, line]) <= _TALK_MS
    crowd = len({*last.speakers, line.character or ""}) > 2  # noqa: PLR2004 - a shot frames two speakers
    joins = (
        not last.establishing and len(last.lines) < _LINES_PER_SHOT and (room or not last.lines) and not crowd
    )
    if joins:
        last.lines.append(line)
    else:
        beats.append(Beat(lines=[line]))


def _emotion(text: str, parenthetical: str) -> str:
    """Return what the parenthetical says, or what the punctuation suggests."""
    said = parenthetical.strip("() ").lower()
    if said and said != "beat":
        return said
    ends = {"!": "excited", "?": "questioning", "…": "hesitant"}
    return ends.get(text.strip()[-1:], "hesitant" if text.strip().endswith("...") else "")


def _size(beat: Beat, facts: SceneFacts, single: Iterable[str], several: Iterable[str]) -> str:
    if beat.establishing:
        return "ELS" if facts.scene.int_ext != "INT" else "LS"
    if not beat.lines:
        return action_size(beat.action)
    if len(beat.speakers) > 1:
        return next(iter(several))
    size = next(iter(single))
    alone = len(facts.people) < 2  # noqa: PLR2004 - nobody's shoulder to look over
    return "MS" if size == "OTS" and alone else size


def _shot(beat: Beat, facts: SceneFacts, size: str, code: str, number: int) -> BreakdownShot:
    people = _in_shot(beat, facts, size)
    description = beat.action or _described(beat, facts)
    return BreakdownShot(
        scene=facts.index, code=code, description=description, shot_size=size, angle=_angle(beat, facts),
        movement=_movement(beat, facts, number), duration_ms=_duration(beat), characters=people,
        lines=tuple(beat.lines), weather=facts.weather, mood=facts.mood,
        image_prompt=_prompt(beat, facts, size, people, description),
    )  # fmt: skip


def _in_shot(beat: Beat, facts: SceneFacts, size: str) -> tuple[str, ...]:
    """Return who is seen: who speaks, who is named, and the listener an over-the-shoulder shot needs."""
    named = tuple(name for name in facts.people if _named(name, beat.action))
    seen = tuple(dict.fromkeys((*beat.speakers, *named)))
    if size in {"OTS", "TWO"} and len(seen) < 2:  # noqa: PLR2004 - both need two
        seen = (*seen, *(name for name in facts.people if name not in seen))[:2]
    if not seen and not beat.establishing and beat.action:
        return facts.people[:1]
    return seen


def _duration(beat: Beat) -> int:
    spoken = sum(speech_ms(line.text, line.parenthetical) for line in beat.lines)
    shown = action_ms(beat.action) if beat.action or not spoken else 0
    return max(_SHORTEST_MS, spoken + (shown * 2 // 3 if spoken else shown))


def _angle(beat: Beat, facts: SceneFacts) -> str:
    found = set(words_of(beat.action))
    if found.intersection({"above", "below", "down", "roof", "cliff"}) or (
        beat.establishing and facts.scene.int_ext != "INT"
    ):
        return "high"
    return "low" if found.intersection({"up", "towers", "looms", "giant"}) else "eye"


def _movement(beat: Beat, facts: SceneFacts, number: int) -> str:
    if beat.establishing:
        return movement_of(beat.action, "pan_right" if facts.index % 2 else "push_in")
    if beat.lines and not beat.action:
        return "push_in" if facts.mood in {"tense", "sad", "dark"} and number % 2 else "static"
    return movement_of(beat.action, "push_in" if number % 2 else "static")


def _described(beat: Beat, facts: SceneFacts) -> str:
    place = f"{facts.scene.location.strip().title()}, {facts.scene.time_of_day.lower()}".strip(", ")
    if not beat.lines:
        return f"{place}."
    names = " and ".join(name.title() for name in beat.speakers) or "The narrator"
    return f"{names} {'talk' if len(beat.speakers) > 1 else 'speaks'}: {beat.lines[0].text[:80]}"


def _prompt(beat: Beat, facts: SceneFacts, size: str, people: tuple[str, ...], description: str) -> str:
    scene = facts.scene
    side = {"INT": "interior", "EXT": "exterior"}.get(scene.int_ext, "interior and exterior")
    weather = "" if facts.weather == "clear" else f", {facts.weather}"
    who = f" {', '.join(name.title() for name in people)}." if people else ""
    shown = description if beat.action or not beat.lines else _feeling(beat)
    place = f"{side}, {scene.location.strip().lower()}, {scene.time_of_day.lower()}{weather}"
    look = f"{facts.mood.capitalize()} mood, cinematic storyboard panel."
    return f"{_SIZE_WORDS[size]}, {place}.{who} {shown} {look}"


def _feeling(beat: Beat) -> str:
    """Return how the speakers look; spoken words in a prompt become letters in the picture."""
    emotions = [line.emotion for line in beat.lines if line.emotion]
    return f"In conversation, {emotions[0]}." if emotions else "In conversation."


def _people(scenes: Iterable[ScriptScene]) -> tuple[str, ...]:
    """Return who speaks or is introduced in capitals ("ANNA (30s)"), in order of appearance."""
    found: dict[str, None] = {}
    for scene in scenes:
        for element in scene.elements:
            if element.kind == "dialogue" and element.character:
                found[element.character] = None
            elif element.kind == "action":
                found |= dict.fromkeys(_introduced(element.text))
    return tuple(found)


def _introduced(text: str) -> list[str]:
    """Return names like ANNA in "ANNA (30s)" or "ANNA, a pilot, …"."""
    names = re.findall(r"\b([A-Z][A-Z'-]+(?: [A-Z][A-Z'-]+)?)(?= ?\(\d|, (?:\d|an? ))", text)
    return [name for name in names if not NOT_NAMES.intersection(name.split())]


def _appears(name: str, scene: ScriptScene) -> bool:
    return any(element.character == name or _named(name, element.text) for element in scene.elements)


def _named(name: str, text: str) -> bool:
    return (
        name.lower() in text.lower() and re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None
    )


def _actions(scene: ScriptScene) -> list[str]:
    return [element.text for element in scene.elements if element.kind == "action"]


def _synopsis(scene: ScriptScene) -> str:
    """Return one sentence: the first action, or who talks where."""
    actions = _actions(scene)
    if actions:
        return re.split(r"(?<=[.!?])\s", actions[0].strip(), maxsplit=1)[0]
    names = dict.fromkeys(element.character.title() for element in scene.elements if element.character)
    who = " and ".join(names) or "Nobody"
    return f"{who} at {scene.location.strip().title() or 'an unnamed place'}."
