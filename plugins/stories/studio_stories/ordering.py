"""Order strings: fractions in base 62, so that putting something between two others is one write."""

from __future__ import annotations

from studio import ConflictError

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE = len(_DIGITS)


def between(before: str | None, after: str | None) -> str:
    """Return a key that sorts after `before` and ahead of `after` (None: no neighbour).

    Raises ConflictError when the two leave no room, which happens only if two writers took the same place.
    """
    low, high = before or "", after
    if high is not None and low >= high:
        raise ConflictError("The neighbours have the same place; reload the story.", code="order_conflict")
    key = ""
    for place in range(len(low) + len(high or "") + 2):
        floor = _DIGITS.index(low[place]) if place < len(low) else 0
        roof = _DIGITS.index(high[place]) if high is not None and place < len(high) else _BASE
        if high is not None and place >= len(high):
            roof = 0
        if roof - floor > 1:
            return key + _DIGITS[(floor + roof) // 2]
        key += _DIGITS[floor]
        if roof > floor:  # already below `after`: from here on only `before` counts
            high = None
    return key + _DIGITS[_BASE // 2]


def spread(count: int) -> list[str]:
    """Return `count` keys, evenly apart, in order."""
    width = 2
    while _BASE**width < count * _BASE * 4:
        width += 1
    step = _BASE**width // (count + 1)
    return [_digits(step * (n + 1), width).rstrip("0") for n in range(count)]


def _digits(value: int, width: int) -> str:
    out = ""
    for _ in range(width):
        value, digit = divmod(value, _BASE)
        out = _DIGITS[digit] + out
    return out
