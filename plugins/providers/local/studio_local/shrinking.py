"""Thumbnails: a picture made small, its blurhash and its size. Runs in a worker process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from studio_local.blurhash import blurhash
from studio_local.pictures import ORIENTATION, opened, turned

if TYPE_CHECKING:
    from collections.abc import Mapping

_TINY = (64, 64)
"""A blurhash knows four waves: more pixels say nothing more."""
_SAVE: Mapping[str, dict[str, Any]] = {"jpeg": {"quality": 82}, "webp": {"quality": 80, "method": 2}}
_TURNED = range(5, 9)
"""Values of the EXIF orientation whose width and height are exchanged."""


def shrink_image(payload: dict[str, Any]) -> dict[str, Any]:
    """Write the thumbnail of `file` to `out`; return {"blurhash", "size", "thumbnail"}, sizes as [width, height]."""
    side = payload["long_side"]
    with opened(Path(payload["file"])) as image:
        size = image.size[::-1] if image.getexif().get(ORIENTATION) in _TURNED else image.size
        image.thumbnail((side, side))
        small = _flat(turned(image))
    small.info.clear()  # Pillow would copy a JPEG's comment, up to 64 KB of whatever stood there
    small.save(payload["out"], payload["format"], **_SAVE[payload["format"]])
    tiny = small.copy()
    tiny.thumbnail(_TINY)
    across, down = (4, 3) if size[0] >= size[1] else (3, 4)
    found = blurhash(np.asarray(tiny), across, down)
    return {"blurhash": found, "size": list(size), "thumbnail": list(small.size)}


def _flat(image: Image.Image) -> Image.Image:
    """Return the picture in RGB; what is transparent shows white, as on a page."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    page = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(page, clear).convert("RGB")
