"""Blurhash: a picture's few lowest frequencies as some thirty letters. Runs in a worker process.

Source: Algorithm.md at woltapp/blurhash.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_LEVELS, _SCALE = 19, 166.0
Floats = np.ndarray[Any, np.dtype[np.float64]]


def blurhash(rgb: np.ndarray[Any, Any], across: int, down: int) -> str:
    """Return the hash of `rgb` (height, width, 3; 0 to 255) with `across` by `down` components, 1 to 9 each."""
    waves = _waves(_linear(rgb), across, down).reshape(-1, 3)
    rest = waves[1:]
    largest = int(np.clip(np.floor(np.abs(rest).max() * _SCALE - 0.5), 0, 82)) if len(rest) else 0
    first = [int(value) for value in _srgb(waves[0])]
    text = _digits((across - 1) + (down - 1) * 9, 1) + _digits(largest, 1)
    text += _digits((first[0] << 16) + (first[1] << 8) + first[2], 4)
    scaled = rest / ((largest + 1) / _SCALE)
    steps = np.clip(np.floor(np.sign(scaled) * np.sqrt(np.abs(scaled)) * 9 + 9.5), 0, _LEVELS - 1)
    return text + "".join(_digits(int(r * _LEVELS**2 + g * _LEVELS + b), 2) for r, g, b in steps)


def _waves(linear: Floats, across: int, down: int) -> Floats:
    """Return how strong each cosine wave is (down, across, 3); the first is the mean colour."""
    height, width, _ = linear.shape
    columns = np.cos(np.pi * np.outer(np.arange(across), np.arange(width)) / width)
    rows = np.cos(np.pi * np.outer(np.arange(down), np.arange(height)) / height)
    found: Floats = np.einsum("jy,yxc,ix->jic", rows, linear, columns) * 2 / (width * height)
    found[0, 0] /= 2
    return found


def _linear(rgb: np.ndarray[Any, Any]) -> Floats:
    value: Floats = rgb.astype(np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - the curve of sRGB, IEC 61966-2-1


def _srgb(linear: Floats) -> Floats:
    value: Floats = np.clip(linear, 0, 1)
    curved = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)  # noqa: PLR2004 - as above
    return np.floor(curved * 255 + 0.5)


def _digits(value: int, length: int) -> str:
    return "".join(_LETTERS[value // 83**power % 83] for power in reversed(range(length)))
