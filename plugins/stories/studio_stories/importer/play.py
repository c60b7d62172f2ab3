"""Lines of a play, "ANNA: (nervous) I think so.": found in a text, and told as tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from studio_stories.importer.model import Token, enclosed, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_CUE = re.compile(
    r"^\s*(?P<name>[^\W\d_][^\n:：,;!?()（）\"“”«»„]{0,39}?)\s*(?:[(（](?P<how>[^)）\n]*)[)）])?\s*[:：]"  # noqa: RUF001 - as in print
    r"(?!//)\s*(?:[(（](?P<first>[^)）\n]*)[)）]\s*)?(?P<said>[^\s\"“«„「『‘'].*)$"  # noqa: RUF001 - as in print
)
"""Who, how, what. A quote after the colon is prose: He said: "Come"."""
_MOST_WORDS = 4
_FEWEST = 2


class Play:
    """How speeches are marked in a text, if it is a play.

    It is one with two lines under names in capitals (or in a script that has none), or when most lines
    stand under the names of several.
    """

    def __init__(self, text: str) -> None:
        lines = [line for line in text.split("\n") if line.strip()]
        names = [name for line in lines if (name := _name(line))]
        self._loud = sum(_is_loud(name) for name in names) >= _FEWEST
        self._all = len(set(names)) >= _FEWEST and len(names) * 2 > len(lines)

    def speaks(self, block: str) -> bool:
        """Whether a speech begins in the block."""
        return any(self._cue(line) for line in block.split("\n"))

    def tell(self, block: str) -> Iterator[Token]:
        """Yield the block's speeches; a line without a name goes on with the speech, one in brackets is told."""
        said: list[str] = []
        for line in block.split("\n"):
            match, text = self._cue(line), one_line(line)
            if said and not match and not enclosed(text):
                said.append(text)
                continue
            yield from _speech(said)
            said = [one_line(match["said"])] if match else []
            if match:
                yield Token("cue", one_line(match["name"]))
                yield from _how(match["how"] or match["first"])
            else:
                yield Token("action", text[1:-1] if enclosed(text) else text)
        yield from _speech(said)

    def _cue(self, line: str) -> re.Match[str] | None:
        name = _name(line)
        return _CUE.match(line) if name and ((self._loud and _is_loud(name)) or self._all) else None


def _speech(said: list[str]) -> Iterator[Token]:
    if said:
        yield Token("dialogue", " ".join(said))


def _how(text: str | None) -> Iterator[Token]:
    if text and text.strip():
        yield Token("parenthetical", one_line(text))


def _name(line: str) -> str:
    """Return the name before the colon, "" when there is none."""
    match = _CUE.match(line)
    words = match["name"].split() if match else []
    capital = all(word[0].upper() == word[0] for word in words)
    return " ".join(words) if capital and len(words) <= _MOST_WORDS else ""


def _is_loud(name: str) -> bool:
    return name.upper() == name
