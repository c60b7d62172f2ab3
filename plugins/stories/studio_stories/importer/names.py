"""Character cues: who speaks, without (V.O.), (CONT'D) and the caret of dual dialogue."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from studio_stories.importer.model import ParsedCharacter, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAME = 60
"""No cue is longer than this many characters."""
_BRACKETS = re.compile(r"\(([^()]*)\)?")
_CONTINUED = re.compile(
    r"^\s*(?:CONT\s*['’`.]?\s*(?:INUE)?D?\.?|MORE|SUITE|FORTS\.?|CONT)\s*$",  # noqa: RUF001 - both apostrophes
    re.IGNORECASE,
)


def split_cue(cue: str) -> tuple[str, str, bool]:
    """Return (name, extension, dual) of a cue such as `MAYA (V.O.) (CONT'D) ^`."""
    text = cue.strip()
    dual = text.endswith("^")
    groups = [one_line(found) for found in _BRACKETS.findall(text)]
    name = one_line(_BRACKETS.sub(" ", text).replace("^", " ").replace(")", " "))
    return name, ", ".join(group for group in groups if group and not _CONTINUED.match(group)), dual


def is_cue(line: str) -> bool:
    """Whether a line reads as a cue: a letter in it, and nothing in lower case outside brackets."""
    name = _BRACKETS.sub("", line).rstrip(" ^")
    if len(name) > MAX_NAME:
        return False
    return bool(name) and name[0].isalnum() and name.upper() == name and any(c.isupper() for c in name)


def cast_of(speakers: Iterable[str], others: Iterable[str] = ()) -> tuple[ParsedCharacter, ...]:
    """Put spellings that differ only in case together, in order of first appearance.

    The most frequent is the name.
    """
    spellings: dict[str, Counter[str]] = {}
    for name in speakers:
        spellings.setdefault(name.casefold(), Counter())[name] += 1
    cast = [_character(found) for found in spellings.values()]
    silent = dict.fromkeys(name for name in others if name.casefold() not in spellings)
    return (*cast, *(ParsedCharacter(name) for name in silent))


def _character(spellings: Counter[str]) -> ParsedCharacter:
    ranked = [name for name, _ in spellings.most_common()]
    return ParsedCharacter(ranked[0], tuple(sorted(ranked[1:])), spellings.total())
