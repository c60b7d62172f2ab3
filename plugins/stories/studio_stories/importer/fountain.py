"""Fountain to tokens: screenplay-tools reads line by line, and its rules that lose text are replaced here.

What is replaced, seen in screenplay-tools 0.0.10: "FADE IN:" is a scene heading there, and a title entry on
the first line; a heading needs no blank line before it, so speech that begins with "Est." opens a scene;
forced headings and cues know ASCII letters only; `(to (herself))` loses a bracket; an unclosed comment
swallows the rest; `.text` leaves "/*" behind; positions are not kept. Syntax: fountain.io/syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from screenplay_tools.fountain.parser import Parser  # type: ignore[import-untyped]  # the library has no types
from screenplay_tools.screenplay import (  # type: ignore[import-untyped]  # the library has no types
    Action,
    Character,
    Dialogue,
    Element,
    ElementType,
    Parenthetical,
    SceneHeading,
    Transition,
)

from studio_stories.importer.headings import FADE, FOREIGN, HEADING, SCENE_NUMBER
from studio_stories.importer.model import Token, TokenKind, enclosed, one_line
from studio_stories.importer.names import is_cue, split_cue

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMENT = re.compile(r"/\*.*?\*/|\[\[(?:(?!\n[ \t]*\n).)*?\]\]", re.DOTALL)
_TITLE_KEYS = (
    "title credit author authors source notes contact copyright date revision language font draft format"
)
_FIRST_TITLE = re.compile(rf"^({'|'.join(_TITLE_KEYS.split())}|draft date|written by)\s*:", re.IGNORECASE)
_TITLE = re.compile(r"^([A-Za-z][\w ]*?)\s*:\s*(.*)$")
_EMPHASIS = re.compile(r"(\*{1,3}|_)(?=\S)(.+?)(?<=\S)\1")
_SPEECH = (ElementType.CHARACTER, ElementType.PARENTHETICAL, ElementType.DIALOGUE)
_KINDS: dict[ElementType, TokenKind] = {
    ElementType.ACTION: "action",
    ElementType.DIALOGUE: "dialogue",
    ElementType.LYRIC: "action",
    ElementType.PARENTHETICAL: "parenthetical",
    ElementType.SYNOPSIS: "synopsis",
    ElementType.TRANSITION: "transition",
}


@dataclass(slots=True)
class FountainText:
    """A Fountain file: its title page (keys in lower case) and its tokens."""

    title_page: dict[str, str] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)


class _Reader(Parser):  # type: ignore[misc]  # the library has no types
    """The library's reader with comments and title page taken out before, and the faulty rules replaced."""

    def _parse_title_page(self) -> bool:
        return False

    def _parse_boneyard(self) -> bool:
        return False

    def _parse_notes(self) -> bool:
        return False

    def _parse_section(self) -> bool:
        """Run first of all rules: inside a speech a line is speech, whatever it begins with."""
        last = self._get_last_elem()
        if not (self._inDialogue and self._line and last and last.type in _SPEECH):
            return bool(super()._parse_section())
        line = self._lineTrim
        if enclosed(line):
            self._add_element(Parenthetical(line[1:-1].strip()))
        elif line and last.type == ElementType.DIALOGUE:
            last.append_line(line.lstrip("~ "))
        elif line:
            self._add_element(Dialogue(line.lstrip("~ ")))
        return True

    def _parse_parenthetical(self) -> bool:
        return False

    def _parse_dialogue(self) -> bool:
        return False

    def _parse_transition(self) -> bool:
        if self._lastLineEmpty and FADE.match(self._lineTrim):
            self._add_element(Transition(self._lineTrim))
            return True
        return bool(super()._parse_transition())

    def _parse_forced_scene_heading(self) -> bool:
        return re.match(r"\.[^.\s]", self._lineTrim) is not None and self._heading(self._lineTrim[1:])

    def _parse_scene_heading(self) -> bool:
        line = self._lineTrim
        known = HEADING.match(line) or FOREIGN.match(line)
        return bool(known) and (self._lastLineEmpty or line == line.upper()) and self._heading(line)

    def _heading(self, line: str) -> bool:
        match = SCENE_NUMBER.match(line)
        text, number = (match["text"], match["number"]) if match and match["text"] else (line, None)
        self._add_element(SceneHeading(text, number))
        return True

    def _parse_forced_character(self) -> bool:
        name, extension, dual = split_cue(self._lineTrim[1:])
        if not self._lineTrim.startswith("@") or not name:
            return False
        self._add_element(Character(name, extension, dual))
        return True

    def _parse_character(self) -> bool:
        if not self._lastLineEmpty or not is_cue(self._lineTrim):
            return False
        name, extension, dual = split_cue(self._lineTrim)
        pending = {
            "type": ElementType.CHARACTER,
            "element": Character(name, extension, dual),
            "backup": Action(self._lineTrim),
        }
        self._pending.append(pending)
        return True

    def _parse_forced_action(self) -> bool:
        if not self._lineTrim.startswith("!"):
            return False
        self._add_element(Action(self._lineTrim[1:], forced=True))
        return True


def read_fountain(text: str) -> FountainText:
    """Read a Fountain text; offsets in the tokens are into `text`."""
    lines = _blank_comments(text).split("\n")
    found = FountainText()
    first = _read_title_page(lines, found.title_page)
    reader = _Reader()
    done, at = 0, sum(len(line) + 1 for line in lines[:first])
    for line in lines[first:]:
        reader.add_line(line)
        elements = reader.script.elements
        for element in elements[done:]:
            if element.type == ElementType.HEADING:
                element.at = at
        done, at = len(elements), at + len(line) + 1
    reader.finalize()
    found.tokens = [token for element in reader.script.elements for token in _tokens(element)]
    return found


def _blank_comments(text: str) -> str:
    """Blank notes and boneyards out, character for character, so that offsets stay true."""
    return _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _read_title_page(lines: list[str], page: dict[str, str]) -> int:
    """Fill `page` and return the index of the first line of the script."""
    start = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    if start == len(lines) or not _FIRST_TITLE.match(lines[start]):
        return start
    key = ""
    for number, line in enumerate(lines[start:], start):
        match = _TITLE.match(line)
        if not line.strip():
            return number
        if match:
            key = match[1].lower()
        elif not key or not line.startswith((" ", "\t")):
            return number
        value = match[2] if match else line
        page[key] = one_line(f"{page.get(key, '')} {plain(value)}")
    return len(lines)


def _tokens(element: Element) -> Iterator[Token]:
    text = plain(element.text_raw)
    if element.type == ElementType.HEADING:
        yield Token("heading", text, at=element.at, number=element.scene_number or "")
    elif element.type == ElementType.CHARACTER:
        yield Token(
            "cue", plain(element.name), extension=element.extension or "", dual=element.is_dual_dialogue
        )
    elif element.type == ElementType.ACTION:
        for paragraph in re.split(r"\n[ \t]*\n", text):
            yield Token("action", paragraph)
    elif kind := _KINDS.get(element.type):
        yield Token(kind, text)


def plain(text: str) -> str:
    r"""Take emphasis (`*`, `**`, `_`) off; `\*` and `\_` stand for the characters themselves."""
    text = text.replace("\\*", "\ue000").replace("\\_", "\ue001")
    if "*" in text or "_" in text:
        text = "\n".join(_unemphasised(line) for line in text.split("\n"))
    return text.replace("\ue000", "*").replace("\ue001", "_")


def _unemphasised(line: str) -> str:
    for _ in range(4):  # bold, italics and underline may be nested
        line, count = _EMPHASIS.subn(r"\2", line)
        if not count:
            break
    return line
