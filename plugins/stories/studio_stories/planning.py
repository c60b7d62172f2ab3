"""From a breakdown to shots.

What is locked or unchanged stays, lines keep their ids, ids depend only on the job.
"""

from __future__ import annotations

import hashlib
import string
from collections import defaultdict
from copy import deepcopy
from typing import TYPE_CHECKING, Any, get_args

from studio_stories.documents import Content, entity, names_of, new_character
from studio_stories.models import Mood, Movement, ShotSize, Weather
from studio_stories.ordering import spread
from studio_stories.stale import basis_of, voice_slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from studio import Doc
    from studio_stories.api import Breakdown, BreakdownShot

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_IDENTITY = ("_id", "rev", "approved", "created_at")
_MIN_MS, _MAX_MS = 200, 600_000


def stable_id(*parts: object) -> str:
    """Return a 26-character id that depends only on `parts`.

    Doing the same job again gives the same documents.
    """
    value = int.from_bytes(hashlib.sha256("\x00".join(map(str, parts)).encode()).digest()[:16])
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def plan(content: Content, breakdown: Breakdown, job_id: str, scene_ids: list[str]) -> Content:
    """Return the content with the breakdown's shots, characters, props and synopses in it."""
    owner = {key: content.scenes[0][key] for key in ("story_id", "project_id")}
    fresh = Content(
        deepcopy(content.scenes), [], list(content.characters), list(content.locations), list(content.props)
    )
    _add_characters(fresh, breakdown, owner, job_id)
    _add_props(fresh, breakdown, owner, job_id)
    scenes = {scene["_id"]: scene for scene in fresh.scenes}
    planned: defaultdict[str, list[BreakdownShot]] = defaultdict(list)
    for shot in breakdown.shots:
        if 0 <= shot.scene < len(scene_ids):
            planned[scene_ids[shot.scene]].append(shot)
    for number, scene_id in enumerate(scene_ids):
        scene = scenes[scene_id]
        if number < len(breakdown.synopses) and not scene["synopsis"]:
            scene["synopsis"] = breakdown.synopses[number][:5_000]
        shots = _Planner(scene, fresh, job_id).shots(planned[scene_id])
        old = [shot for shot in content.shots if shot["scene_id"] == scene_id]
        fresh.shots += arranged(scene, _kept(old, shots))
    fresh.shots += [shot for shot in content.shots if shot["scene_id"] not in scene_ids]
    return fresh.sort()


def _add_characters(content: Content, breakdown: Breakdown, owner: Mapping[str, str], job_id: str) -> None:
    known = {name for doc in content.characters for name in names_of(doc)}
    speakers = (line.character for shot in breakdown.shots for line in shot.lines if line.character)
    for name in dict.fromkeys((*breakdown.characters, *speakers)):
        if name.casefold() not in known and name.strip():
            known.add(name.casefold())
            doc = new_character(name, owner, [doc["colour"] for doc in content.characters])
            content.characters.append(doc | {"_id": stable_id(job_id, "character", name.casefold())})


def _add_props(content: Content, breakdown: Breakdown, owner: Mapping[str, str], job_id: str) -> None:
    known = {name for doc in content.props for name in names_of(doc)}
    for name in dict.fromkeys(breakdown.props):
        if name.casefold() not in known and name.strip():
            known.add(name.casefold())
            content.props.append(entity(name, owner) | {"_id": stable_id(job_id, "prop", name.casefold())})


class _Planner:
    """Makes the shots of one scene; a line that the script holds takes the id it has there."""

    def __init__(self, scene: Doc, content: Content, job_id: str) -> None:
        self._scene = scene
        self._job_id = job_id
        self._ids = {name: doc["_id"] for doc in content.characters for name in names_of(doc)}
        self._props = content.props
        self._spoken = [element for element in scene["elements"] if element["kind"] == "dialogue"]

    def shots(self, planned: Iterable[BreakdownShot]) -> list[Doc]:
        return [self._shot(number, shot) for number, shot in enumerate(planned)]

    def _shot(self, number: int, shot: BreakdownShot) -> Doc:
        key = (self._job_id, self._scene["_id"], number)
        told = shot.description.casefold()
        return {
            **shot_doc(self._scene, stable_id(*key)),
            "description": shot.description[:5_000],
            "shot_size": _one_of(ShotSize, shot.shot_size, "MS"),
            "angle": shot.angle[:40],
            "movement": _one_of(Movement, shot.movement, "static"),
            "duration_ms": min(max(shot.duration_ms, _MIN_MS), _MAX_MS),
            "lines": [self._line((*key, n), line) for n, line in enumerate(shot.lines)],
            "character_ids": [self._ids[n.casefold()] for n in shot.characters if n.casefold() in self._ids],
            "prop_ids": [prop["_id"] for prop in self._props if prop["name"].casefold() in told],
            "weather": _one_of(Weather, shot.weather, "clear"),
            "mood": _one_of(Mood, shot.mood, "neutral"),
            "prompt": shot.image_prompt[:5_000],
            "job_id": self._job_id,
        }

    def _line(self, key: tuple[object, ...], line: Any) -> Doc:
        speaker = (line.character or "").casefold()
        said = " ".join(line.text.split())
        found = next((e for e in self._spoken if _says(e, speaker, said)), None)
        if found:
            self._spoken.remove(found)
        return {
            "id": found["id"] if found else stable_id(*key),
            "character_id": self._ids.get(speaker),
            "text": line.text[:5_000],
            "parenthetical": line.parenthetical[:500],
            "emotion": line.emotion[:100],
        }


def _says(element: Doc, speaker: str, said: str) -> bool:
    same = (element["character"] or "").casefold() == speaker
    return same and " ".join(element["text"].split()) == said


def _one_of(kind: Any, value: str, default: str) -> str:
    """Return `value` if the vocabulary has it: a chat model may invent words, drawing them cannot."""
    return value if value in get_args(kind) else default


EMPTY_SHOT: Doc = {
    "code": "",
    "description": "",
    "shot_size": "MS",
    "angle": "eye",
    "movement": "static",
    "duration_ms": 3_000,
    "lines": [],
    "character_ids": [],
    "location_id": None,
    "prop_ids": [],
    "weather": "clear",
    "mood": "neutral",
    "prompt": "",
    "refs": [],
    "current": {},
    "stale": {},
    "approved": False,
    "lock": False,
}
"""What a shot is before anybody fills it; a stored one that lacks a field is read with these too."""


def shot_doc(scene: Doc, shot_id: str) -> Doc:
    """Return an empty shot of a scene."""
    return deepcopy(EMPTY_SHOT) | {
        "_id": shot_id,
        "story_id": scene["story_id"],
        "project_id": scene["project_id"],
        "scene_id": scene["_id"],
        "order": "",
        "location_id": scene["location_id"],
        "mood": scene["mood"],
        "rev": 1,
    }


def _kept(old: list[Doc], fresh: list[Doc]) -> list[Doc]:
    """Merge a new plan with the shots that are there: locked ones stay as they are and cover their lines.

    An unlocked shot that the new plan repeats stays with its takes; voices follow their lines wherever they
    go.
    """
    locked = {n: shot for n, shot in enumerate(old) if shot["lock"]}
    covered = {line["id"] for shot in locked.values() for line in shot["lines"]}
    takes = _voices(old)
    by_basis = {basis_of(shot, "clip"): shot for shot in old if not shot["lock"]}
    out: list[Doc] = []
    for number, shot in enumerate(fresh):
        lines = [line for line in shot["lines"] if line["id"] not in covered]
        replaced = (shot["lines"] and not lines) or (not lines and number in locked)
        if not replaced:
            out.append(
                _with_takes({**shot, "lines": lines}, by_basis.pop(basis_of(shot, "clip"), None), takes)
            )
    for number, shot in locked.items():
        out.insert(min(number, len(out)), shot)
    return out


def _voices(shots: Iterable[Doc]) -> dict[str, Doc]:
    """Return, by slot, the shot that holds a line's voice."""
    return {voice_slot(line["id"]): shot for shot in shots for line in shot["lines"]}


def _with_takes(shot: Doc, same: Doc | None, takes: Mapping[str, Doc]) -> Doc:
    current: Doc = {}
    stale: Doc = {}
    slots = [voice_slot(line["id"]) for line in shot["lines"]] + (["panel", "clip"] if same else [])
    for slot in slots:
        source = same if slot in ("panel", "clip") else takes.get(slot)
        if source and slot in source["current"] and basis_of(source, slot) == basis_of(shot, slot):
            current[slot] = source["current"][slot]
            if slot in source["stale"]:
                stale[slot] = source["stale"][slot]
    identity: Doc = {key: same[key] for key in _IDENTITY if key in same} if same else {}
    return {**shot, **identity, "current": current, "stale": stale}


def arranged(scene: Doc, shots: list[Doc]) -> list[Doc]:
    """Give the shots of a scene their order and their codes: 3A … 3Z, 3AA."""
    return [
        {**shot, "order": order, "code": f"{scene['number']}{letters(n)}"}
        for n, (shot, order) in enumerate(zip(shots, spread(len(shots)), strict=True))
    ]


def letters(number: int) -> str:
    """Count in letters: 0 is A, 25 is Z, 26 is AA."""
    out = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        out = string.ascii_uppercase[digit] + out
    return out


def recoded(content: Content) -> Content:
    """Renew the codes of all shots, after scenes were numbered anew."""
    by_scene: defaultdict[str, list[Doc]] = defaultdict(list)
    for shot in content.shots:
        by_scene[shot["scene_id"]].append(shot)
    content.shots = [shot for scene in content.scenes for shot in arranged(scene, by_scene[scene["_id"]])]
    return content
