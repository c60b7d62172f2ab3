"""A story back to Fountain; reading it again gives the same scenes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from studio_stories.importer.headings import FADE, FOREIGN, HEADING
from studio_stories.importer.model import (
    ParsedElement,
    ParsedScene,
    ParsedStory,
    directed,
    neutral,
    one_line,
    spoken,
)
from studio_stories.importer.names import is_cue

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORCED = re.compile(r"^(?:[.!@>~#=]|.*TO:$)")


def to_fountain(story: ParsedStory) -> str:
    """Write a story as Fountain; scene numbers are written out, so that shots keep their codes."""
    return write_fountain(story)[0]


def write_fountain(story: ParsedStory) -> tuple[str, list[tuple[int, int]]]:
    """Return the text and where in it each scene stands (character offsets)."""
    page = {"Title": story.title, "Author": story.author, "Language": story.language}
    lines = [f"{key}: {_escape(one_line(value))}" for key, value in page.items() if value.strip()]
    text = "\n".join(lines) + "\n\n"
    spans = []
    for scene in story.scenes:
        written = _scene(scene)
        spans.append((len(text), len(text) + len(written)))
        text += written
    return text, spans


def _scene(scene: ParsedScene) -> str:
    parts = [_heading(scene)]
    if scene.synopsis:
        parts.append(f"= {_escape(one_line(scene.synopsis))}")
    parts.extend(_elements(scene.elements))
    return "\n\n".join(parts) + "\n\n"


def _heading(scene: ParsedScene) -> str:
    text = _escape(one_line(scene.heading)).lstrip(".")
    known = HEADING.match(text) or FOREIGN.match(text)
    number = re.sub(r"[^A-Za-z0-9.\-]", "", scene.number)
    return ("" if known else ".") + text + (f" #{number}#" if number else "")


def _elements(elements: Iterable[ParsedElement]) -> Iterable[str]:
    for element in elements:
        if element.kind == "dialogue":
            yield _speech(element)
        elif element.kind == "transition":
            yield "> " + _escape(directed(element.text))
        elif element.text.strip():
            yield "\n".join(_action(line) for line in element.text.split("\n") if line.strip())


def _action(line: str) -> str:
    text = _escape(one_line(line))
    return f"!{text}" if _special(text) or is_cue(text) else text


def _special(line: str) -> bool:
    return any(pattern.match(line) for pattern in (_FORCED, HEADING, FOREIGN, FADE))


def _speech(element: ParsedElement) -> str:
    name = one_line(re.sub(r"[()^]", " ", element.character or "NARRATOR")) or "NARRATOR"
    cue = ("" if is_cue(name) and not _special(name) else "@") + _escape(name)
    lines = [cue + (f" ({element.extension})" if element.extension else "") + (" ^" if element.dual else "")]
    if element.parenthetical:
        lines.append(f"({_escape(one_line(element.parenthetical))})")
    lines.append(_escape(spoken(element.text)) or "...")
    return "\n".join(lines)


def _escape(text: str) -> str:
    return neutral(text).replace("*", "\\*").replace("_", "\\_")
