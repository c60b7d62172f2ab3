"""From shots and takes to a timeline: order, lengths, and when each line is spoken. Pure.

A shot stands at least as long as its lines need: they are spoken one after the other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from studio_asset_gen.api import frame_size
from studio_stories.api import scenes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from studio import Doc
    from studio_asset_gen.api import StoryView

LEAD_MS, GAP_MS, TAIL_MS = 250, 250, 400
"""Silence before the first line of a shot, between two, and after the last."""
READ_MS_PER_WORD, LEAST_READ_MS = 360, 900
"""How long a line without a voice stands as a subtitle: 165 words a minute."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A timeline's content; `basis` is a hash of all that goes into its film."""

    shots: list[Doc]
    width: int
    height: int
    fps: int
    duration_ms: int
    music_asset_id: str | None
    missing_panels: list[str]
    missing_voices: list[str]
    basis: str

    @property
    def fields(self) -> Doc:
        """What a timeline document keeps of it."""
        kept = (
            "shots",
            "width",
            "height",
            "fps",
            "duration_ms",
            "music_asset_id",
            "missing_panels",
            "missing_voices",
        )
        return {name: getattr(self, name) for name in kept} | {"basis_hash": self.basis}


def cut(view: StoryView, scenes: str | None, music_asset_id: str | None) -> Cut:
    """Cut a story, or some of its scenes; raises InvalidInputError for scenes that it does not have."""
    chosen = scenes_of(view.scenes, scenes)
    shots: list[Doc] = []
    start = 0
    for shot in view.shots:
        if shot["scene_id"] in chosen:
            shots.append(_shot(view, shot, start))
            start += shots[-1]["duration_ms"]
    width, height = frame_size(view.project)
    frame = {"width": width, "height": height, "fps": view.project["fps"]}
    return Cut(
        shots=shots,
        **frame,
        duration_ms=start,
        music_asset_id=music_asset_id,
        missing_panels=[
            shot["code"] for shot in shots if not (shot["panel_asset_id"] or shot["clip_asset_id"])
        ],
        missing_voices=[
            f"{shot['code']}: {line['text'][:60]}"
            for shot in shots
            for line in shot["lines"]
            if not line["voice_asset_id"]
        ],
        basis=hash_of({"shots": shots, **frame, "music": music_asset_id}),
    )


def _shot(view: StoryView, shot: Doc, start: int) -> Doc:
    current = {slot: i for slot, i in (shot.get("current") or {}).items() if i in view.assets}
    lines = _lines(view, shot, current)
    spoken = lines[-1]["start_ms"] + lines[-1]["duration_ms"] + TAIL_MS if lines else 0
    return {
        "shot_id": shot["_id"],
        "scene_id": shot["scene_id"],
        "code": shot["code"],
        "start_ms": start,
        "duration_ms": max(shot["duration_ms"], spoken),
        "movement": shot["movement"],
        "panel_asset_id": current.get("panel"),
        "clip_asset_id": current.get("clip"),
        "lines": lines,
    }


def _lines(view: StoryView, shot: Doc, current: Mapping[str, str]) -> list[Doc]:
    lines: list[Doc] = []
    at = LEAD_MS
    for line in shot.get("lines", ()):
        voice = current.get(f"voice:{line['id']}")
        length = (view.assets[voice]["media"].get("duration_ms") if voice else None) or reading_ms(
            line["text"]
        )
        speaker = view.characters.get(line["character_id"] or "", {}).get("name", "")
        said = {"line_id": line["id"], "speaker": speaker, "text": line["text"]}
        lines.append({**said, "start_ms": at, "duration_ms": length, "voice_asset_id": voice})
        at += length + GAP_MS
    return lines


def reading_ms(text: str) -> int:
    """Estimate how long a text takes to say, in ms."""
    return max(LEAST_READ_MS, len(text.split()) * READ_MS_PER_WORD)


def hash_of(value: Any) -> str:
    """Return a short hash of a JSON value."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def differences(rendered: Sequence[Doc], now: Sequence[Doc]) -> list[Doc]:
    """Return which shots are not what was rendered; where a shot begins follows from the others."""
    before = {shot["shot_id"]: _content(shot) for shot in rendered}
    after = {shot["shot_id"]: _content(shot) for shot in now}
    codes = {shot["shot_id"]: shot["code"] for shot in (*rendered, *now)}
    found: list[Doc] = []
    for shot_id, code in codes.items():
        if before.get(shot_id) != after.get(shot_id):
            change = "added" if shot_id not in before else "changed" if shot_id in after else "removed"
            found.append({"shot_id": shot_id, "code": code, "change": change})
    return found


def _content(shot: Doc) -> Doc:
    return {key: value for key, value in shot.items() if key != "start_ms"}
