"""What the kinds share: whether a take still fits, stable seeds, files of other takes."""

from __future__ import annotations

import zlib
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from studio_asset_gen.api import Slot, Wish

if TYPE_CHECKING:
    from pathlib import Path

    from studio import Doc, PluginContext
    from studio_asset_gen.api import StoryView

MAX_SEED = 2**31


def shot_slot(view: StoryView, shot: Doc, slot: str, label: str, basis: str) -> Slot:
    """Return a shot's slot, its take, and why that is stale: the story's own mark, or another basis."""
    asset_id = (shot.get("current") or {}).get(slot)
    mark = (shot.get("stale") or {}).get(slot)
    reason = mark["reason"] if mark else basis_reason(view, asset_id, basis)
    return Slot("shot", shot["_id"], slot, label, asset_id, reason if asset_id else None)


def basis_reason(view: StoryView, asset_id: str | None, basis: str) -> str | None:
    """Say that a take was made from something else; an upload has no basis and is never stale."""
    made_from = view.assets.get(asset_id or "", {}).get("basis", {}).get("hash")
    return "inputs_changed" if made_from and made_from != basis else None


def seed_for(wish: Wish, *keys: str) -> int:
    """Return the caller's seed, else one that depends on the keys and the number of takes."""
    chosen: Any = wish.overrides.get("seed")
    stable = zlib.crc32("\x00".join(keys).encode()) + wish.takes
    return int(chosen) if chosen is not None else stable % MAX_SEED


def seed_for_shot(wish: Wish, title: str, code: str) -> int:
    """Return a seed whose thousands are the scene's: panels of one scene then share their set.

    It goes by names, not by ids, so that the same story imported again gives the same pictures.
    """
    if wish.overrides.get("seed") is not None:
        return seed_for(wish)
    scene = zlib.crc32(f"{title}\x00{code.rstrip(ascii_uppercase)}".encode()) % (MAX_SEED // 1000)
    return scene * 1000 + (zlib.crc32(code.encode()) + wish.takes) % 1000


async def stored_path(ctx: PluginContext, key: str) -> Path:
    """Return a local path of a stored file."""
    path: Path = await ctx.providers.get("storage").path(key)
    return path
