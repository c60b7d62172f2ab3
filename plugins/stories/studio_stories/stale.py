"""Which takes no longer show what the story says: pure functions from a change to slots.

Slots of a shot: "panel", "clip", "voice:<line id>". Text of a line concerns its voice only; what is seen
concerns the panel and the clip made from it; movement and length concern the clip only. The film is stale
whenever one of its shots changed: whoever renders it compares `basis_of` of every slot.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from studio import Doc

SEEN = (
    "description",
    "shot_size",
    "angle",
    "character_ids",
    "location_id",
    "prop_ids",
    "weather",
    "mood",
    "prompt",
)
MOVED = ("movement", "duration_ms")
SPOKEN = ("text", "character_id", "parenthetical", "emotion")
PICTURES = ("panel", "clip")
LOOKS = ("name", "description", "appearance", "outfits", "ref_asset_ids", "colour", "seed", "time_variants")
"""Fields of a character, location or prop that a panel shows."""
HEADING = ("int_ext", "location_name", "time_of_day")


def voice_slot(line_id: str) -> str:
    """Return the slot of a line's voice."""
    return f"voice:{line_id}"


def stale_after_shot(before: Doc, after: Doc) -> set[str]:
    """Return the slots that an edit of a shot leaves behind."""
    slots = set(PICTURES) if _differ(before, after, SEEN) else set()
    if _differ(before, after, MOVED):
        slots.add("clip")
    old = {line["id"]: line for line in before.get("lines", [])}
    for line in after.get("lines", []):
        if line["id"] in old and _differ(old[line["id"]], line, SPOKEN):
            slots.add(voice_slot(line["id"]))
    return slots


def stale_after_scene(before: Doc, after: Doc) -> set[str]:
    """Return the slots that an edit of a scene leaves behind in each of its shots."""
    moved = _differ(before, after, ("location_id", "mood"))
    heading = _differ(before.get("heading", {}), after.get("heading", {}), HEADING)
    return set(PICTURES) if moved or heading else set()


def stale_after_entity(before: Doc, after: Doc) -> set[str]:
    """Return what an edit of a character, location or prop leaves behind.

    Pictures, and "voice" for its lines.
    """
    slots = set(PICTURES) if _differ(before, after, LOOKS) else set()
    return slots | ({"voice"} if _differ(before, after, ("voice_setting_id",)) else set())


def marks(shot: Doc, slots: Iterable[str], reason: str, since: int) -> dict[str, Any]:
    """Return the `$set` members that mark `slots` of a shot; only a slot that has a take can be stale."""
    current = shot.get("current") or {}
    return {f"stale.{slot}": {"reason": reason, "since": since} for slot in sorted(slots) if slot in current}


def basis_of(shot: Doc, slot: str) -> str:
    """Return a hash of what a take in `slot` is made from, as far as the shot itself says it."""
    if slot.startswith("voice:"):
        line: Doc = next((line for line in shot.get("lines", []) if voice_slot(line["id"]) == slot), {})
        return _hash({key: line.get(key) for key in SPOKEN})
    fields = SEEN if slot == "panel" else SEEN + MOVED
    return _hash({key: shot.get(key) for key in fields})


def _hash(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _differ(before: Mapping[str, Any], after: Mapping[str, Any], fields: Iterable[str]) -> bool:
    return any(before.get(name) != after.get(name) for name in fields)
