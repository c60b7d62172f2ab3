"""What can be said of an image without a model: sharpness, contrast, exposure. Runs in a worker process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from studio_local.pictures import opened, upright

_SIDE = 720
_SHARP = 300.0
"""Variance of the Laplacian at which 720 lines count as fully sharp; blurred photographs stay below 100.
Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000."""
_CONTRAST = 64.0
"""Standard deviation of the luma (0-255) of a picture that uses its range well."""


def judge_image(payload: dict[str, Any]) -> dict[str, Any]:
    """Return {"scores": [{"scorer", "score" 0-1, "reason"}]} for the image file `image`."""
    with opened(Path(payload["image"])) as image:
        image.thumbnail((_SIDE * 2, _SIDE))
        luma = np.asarray(upright(image).convert("L"), dtype=np.float32)
    return {"scores": [_sharpness(luma), _contrast(luma), _exposure(luma)]}


def _scored(scorer: str, score: float, reason: str) -> dict[str, Any]:
    return {"scorer": scorer, "score": round(float(min(1.0, max(0.0, score))), 3), "reason": reason}


def _sharpness(luma: np.ndarray[Any, Any]) -> dict[str, Any]:
    middle = luma[1:-1, 1:-1]
    edges = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * middle
    variance = float(edges.var()) if edges.size else 0.0
    word = "soft: edges are blurred" if variance < _SHARP / 4 else "clear edges"
    return _scored("sharpness", (variance / _SHARP) ** 0.5, f"{word} (edge variance {variance:.0f})")


def _contrast(luma: np.ndarray[Any, Any]) -> dict[str, Any]:
    spread = float(luma.std())
    word = "flat: light and dark are close" if spread < _CONTRAST / 3 else "good range from light to dark"
    return _scored("contrast", spread / _CONTRAST, f"{word} (spread {spread:.0f} of 255)")


def _exposure(luma: np.ndarray[Any, Any]) -> dict[str, Any]:
    mean = float(luma.mean())
    black, white = float((luma < 4).mean()), float((luma > 251).mean())  # noqa: PLR2004 - levels without drawing
    score = 1 - abs(mean - 118) / 118 - black - white
    if white > 0.2 or mean > 205:  # noqa: PLR2004 - a fifth of the picture, or all of it, is burnt out
        word = "overexposed"
    elif black > 0.3 or mean < 32:  # noqa: PLR2004 - as above, at the dark end
        word = "underexposed"
    else:
        word = "well exposed"
    return _scored("exposure", score, f"{word} (mean {mean:.0f}, {black:.0%} black, {white:.0%} white)")
