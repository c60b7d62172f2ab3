"""What is kept between renders, addressed by the hash of everything that goes into it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def content_key(recipe: dict[str, Any]) -> str:
    """Return the address of what `recipe` makes; files stand in it by their digests."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:40]


def used(path: Path) -> bool:
    """Say whether `path` is there, and mark it as used now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def prune(folders: Iterable[Path], keep_s: float) -> None:
    """Remove files that no render used for `keep_s` seconds."""
    limit = time.time() - keep_s
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_file() and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
