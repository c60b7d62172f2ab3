"""What the stories plugin offers to other plugins.

Ask `ctx.service(Stories)`, and list "stories" in `requires`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from studio import Doc, ShotBrief

__all__ = ["ShotPrompt", "Stories"]


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

    async def set_current(self, shot_id: str, slot: str, asset_id: str, *, basis: str | None = None) -> Doc:
        """Point a slot at an asset and clear its stale mark, in one atomic update; returns the shot.

        With the `basis` the take was made from, a shot that changed meanwhile gets its mark instead.
        """
        ...

    async def clear_current(self, shot_id: str, slot: str, asset_id: str) -> bool:
        """Empty a slot if it still points at `asset_id`; False when it does not."""
        ...
