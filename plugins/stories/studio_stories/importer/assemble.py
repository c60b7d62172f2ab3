"""Tokens to scenes: speeches are put together, scenes numbered and spanned."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from studio import PayloadTooLargeError
from studio_stories.importer.headings import split_heading
from studio_stories.importer.model import (
    MAX_ELEMENTS,
    MAX_SCENES,
    ParsedElement,
    ParsedScene,
    Token,
    directed,
    neutral,
    one_line,
    spoken,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_TEXT = 2_000
"""Longest paragraph or speech, in characters: two minutes of talk, and less than any voice refuses."""
_LONGEST_NAME, _LONGEST_EXTENSION, _LONGEST_GESTURE = 200, 100, 500
_SENTENCE_ENDS = re.compile(r"[.!?…]+[\"'”’»)]*\s|[。！？](?=.)", re.DOTALL)  # noqa: RUF001 - as in print


@dataclass(slots=True)
class _Open:
    """A scene that is still being read."""

    heading: Token
    elements: list[ParsedElement] = field(default_factory=list)
    synopsis: list[str] = field(default_factory=list)


class Assembler:
    """Takes tokens in order; what stands before the first heading joins the first scene."""

    def __init__(self) -> None:
        self.scenes: list[_Open] = []
        self._prelude: list[ParsedElement] = []
        self._cue: Token | None = None
        self._parenthetical = ""
        self._spoken = False

    def add(self, token: Token) -> None:
        """Take the next token."""
        if token.kind in {"parenthetical", "dialogue"} and self._cue is not None:
            self._speak(token)
            return
        self._end_speech()
        if token.kind == "heading":
            self._open(token)
        elif token.kind == "cue":
            self._cue, self._spoken = token, False
        elif token.kind == "synopsis":
            if self.scenes:
                self.scenes[-1].synopsis.append(one_line(token.text))
        elif token.kind == "transition":
            if text := directed(token.text)[:LONGEST_TEXT]:
                self._append(ParsedElement("transition", text))
        elif text := _paragraph(token.text):
            self._append(ParsedElement("action", text))

    def _open(self, token: Token) -> None:
        if len(self.scenes) >= MAX_SCENES:
            raise PayloadTooLargeError(
                f"The story has more than {MAX_SCENES:,} scenes. Import it in parts.", code="story_too_long"
            )
        self.scenes.append(_Open(token, self._prelude if not self.scenes else []))

    def _append(self, element: ParsedElement) -> None:
        """Keep an element; what no shot and no voice could hold goes on in the next one."""
        elements = self.scenes[-1].elements if self.scenes else self._prelude
        first, *more = pieces(element.text)
        elements.append(replace(element, text=first))
        elements += [replace(element, text=text, parenthetical="", dual=False) for text in more]
        if len(elements) > MAX_ELEMENTS:
            name = one_line(self.scenes[-1].heading.text)[:80] if self.scenes else "before the first heading"
            raise PayloadTooLargeError(
                f"A scene has more than {MAX_ELEMENTS:,} paragraphs and speeches: {name}. "
                "Divide it with scene headings.",
                code="story_too_long",
            )

    def _speak(self, token: Token) -> None:
        text, cue = spoken(token.text), self._cue
        if token.kind == "parenthetical":
            gestures = "; ".join(filter(None, (self._parenthetical, text)))
            self._parenthetical = gestures[:_LONGEST_GESTURE].rstrip()
        elif text and cue:
            name = neutral(one_line(cue.text))[:_LONGEST_NAME].rstrip()
            extension = neutral(one_line(cue.extension))[:_LONGEST_EXTENSION].rstrip()
            dual = cue.dual and not self._spoken
            self._append(ParsedElement("dialogue", text, name, self._parenthetical, extension, dual=dual))
            self._parenthetical, self._spoken = "", True

    def _end_speech(self) -> None:
        if self._cue and (self._parenthetical or not self._spoken):  # a gesture, or a name that stands alone
            gesture = f" ({self._parenthetical})" if self._parenthetical else ""
            self._append(ParsedElement("action", _paragraph(self._cue.text + gesture)))
        self._cue, self._parenthetical = None, ""


def _paragraph(text: str) -> str:
    return neutral("\n".join(filter(None, (one_line(line) for line in text.split("\n")))))


def pieces(text: str) -> list[str]:
    """Cut a text into pieces of at most `LONGEST_TEXT` characters: at ends of sentences, else between words."""
    found = []
    while len(text) > LONGEST_TEXT:
        head = text[:LONGEST_TEXT]
        ends = [end.end() for end in _SENTENCE_ENDS.finditer(head)]
        cut = ends[-1] if ends else max(head.rfind(" "), head.rfind("\n")) + 1
        cut = cut or LONGEST_TEXT
        found.append(text[:cut].strip())
        text = text[cut:].strip()
    return [*found, text] if text or not found else found


def assemble(tokens: Iterable[Token], length: int) -> tuple[ParsedScene, ...]:
    """Return the scenes of a text that is `length` characters long."""
    assembler = Assembler()
    for token in tokens:
        assembler.add(token)
    assembler.add(Token("action", ""))
    opened = assembler.scenes
    ends = [scene.heading.at for scene in opened[1:]] + [length]
    numbers = _numbers([scene.heading.number for scene in opened])
    return tuple(map(_scene, opened, numbers, ends))


def _scene(opened: _Open, number: str, end: int) -> ParsedScene:
    heading = neutral(one_line(opened.heading.text)).lstrip(". ")
    parts = split_heading(heading)
    return ParsedScene(
        number=number,
        heading=heading,
        int_ext=parts.int_ext,
        location=parts.location,
        time_of_day=parts.time_of_day,
        elements=tuple(opened.elements),
        synopsis=neutral(one_line(" ".join(opened.synopsis))),
        source_span=(opened.heading.at, end),
    )


def _numbers(given: list[str]) -> Iterator[str]:
    """Keep the numbers of the script.

    Scenes without one, or with one that is taken, get the next free integer.
    """
    free = (str(n) for n in range(1, len(given) * 2 + 2))
    named = set(given)
    seen: set[str] = set()
    for number in given:
        fresh = number if number and number not in seen else next(n for n in free if n not in named)
        seen.add(fresh)
        yield fresh


def with_spans(scenes: tuple[ParsedScene, ...], spans: list[tuple[int, int]]) -> tuple[ParsedScene, ...]:
    """Return the scenes with their places in a text that was written from them."""
    return tuple(replace(scene, source_span=span) for scene, span in zip(scenes, spans, strict=True))
