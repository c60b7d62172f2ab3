"""Music: one bed under the whole story."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from studio import MusicRequest
from studio_asset_gen.api import Plan, Slot, basis_hash
from studio_asset_gen.kinds.common import basis_reason, seed_for
from studio_asset_gen.models import Mood

if TYPE_CHECKING:
    from studio import Doc
    from studio_asset_gen.api import Assets, Media, StoryView, Wish

LEAST_MS, MOST_MS = 8_000, 600_000
MARGIN = 1.1
"""Voices may make a film longer than its plan; a renderer cuts what is too much."""
TEMPO = {"tense": 96, "bright": 108, "sad": 66, "dark": 72}
_STEADY = 84


class MusicKind:
    """Composes a bed in the mood that most shots have.

    The film's length is no part of the basis: a new line needs no new music.
    """

    job, name, capability, role = "music.generate", "music", "music", "music"
    media: Media = "music"
    overrides = frozenset({"prompt", "seed", "mood", "tempo_bpm", "duration_ms"})

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    async def slots(self, view: StoryView) -> list[Slot]:
        """Return the story's one slot; a story without shots has none."""
        if not view.shots:
            return []
        story_id = view.story["_id"]
        take = await self._assets.current("story", story_id, "music")
        if take is None:
            return [Slot("story", story_id, "music", "Music")]
        view.assets[take["_id"]] = take
        reason = basis_reason(view, take["_id"], basis_hash(mood_of(view)))
        return [Slot("story", story_id, "music", "Music", take["_id"], reason)]

    async def plan(self, view: StoryView, slot: Slot, wish: Wish) -> Plan:
        """Fix mood, tempo and length."""
        mood = wish.overrides.get("mood") or mood_of(view)
        planned = int(sum(shot["duration_ms"] for shot in view.shots) * MARGIN)
        given = {
            "prompt": wish.overrides.get("prompt") or "",
            "mood": mood,
            "tempo_bpm": wish.overrides.get("tempo_bpm") or TEMPO.get(mood, _STEADY),
            "duration_ms": wish.overrides.get("duration_ms") or min(max(planned, LEAST_MS), MOST_MS),
            "seed": seed_for(wish, view.story["title"], "music"),
            "basis": basis_hash(mood_of(view)),
        }
        return Plan(slot, given)

    async def request(self, job: Doc) -> MusicRequest:
        """Build the provider's request from the order."""
        given = job["input"]
        kept = {key: given[key] for key in ("prompt", "mood", "tempo_bpm", "duration_ms", "seed")}
        return MusicRequest(job_id=job["_id"], model=job["model"], **kept)


def mood_of(view: StoryView) -> str:
    """Return the mood of most shots; the first in the list of moods wins a draw."""
    counted = Counter(shot.get("mood", "neutral") for shot in view.shots)
    moods: tuple[str, ...] = get_args(Mood)
    return max(moods, key=lambda mood: counted[mood])
