"""What the importer hands over: a story as scenes of elements, whatever file it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from studio import InvalidInputError

Format = Literal["fountain", "fdx", "text"]
IntExt = Literal["INT", "EXT", "INT/EXT"]
ElementKind = Literal["action", "dialogue", "transition"]
TokenKind = Literal["heading", "synopsis", "action", "cue", "parenthetical", "dialogue", "transition"]

MAX_SCRIPT_BYTES = 2_000_000
"""Longest script as UTF-8: a stored document holds 16 MB, and a version keeps the text and its scenes."""
MAX_SCENES = 2_000
MAX_ELEMENTS = 1_000
"""Most paragraphs and speeches of a scene, as on the wire (`SceneCreate.elements`)."""


@dataclass(frozen=True, slots=True)
class ParsedElement:
    """One paragraph of action, one speech or one transition.

    `extension` is "V.O."; `dual` speaks over the last.
    """

    kind: ElementKind
    text: str
    character: str | None = None
    parenthetical: str = ""
    extension: str = ""
    dual: bool = False


@dataclass(frozen=True, slots=True)
class ParsedScene:
    """One scene.

    `heading` is the line as written; `source_span` are character offsets into the script text.
    """

    number: str
    heading: str
    int_ext: IntExt
    location: str
    time_of_day: str
    elements: tuple[ParsedElement, ...] = ()
    synopsis: str = ""
    source_span: tuple[int, int] = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class ParsedCharacter:
    """Somebody who speaks, or is named again and again.

    `aliases` are other spellings; `lines` counts speeches.
    """

    name: str
    aliases: tuple[str, ...] = ()
    lines: int = 0


@dataclass(frozen=True, slots=True)
class ParsedStory:
    """A whole story. `warnings` say what was guessed or dropped on the way in."""

    title: str
    author: str
    language: str
    scenes: tuple[ParsedScene, ...]
    characters: tuple[ParsedCharacter, ...]
    format: Format = field(default="fountain", compare=False)
    script_text: str = field(default="", compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Token:
    """What a reader saw, before speeches are put together. `at` is its offset in the script text."""

    kind: TokenKind
    text: str
    at: int = 0
    number: str = ""
    extension: str = ""
    dual: bool = False


def one_line(text: str) -> str:
    """Collapse all white space to single spaces."""
    return " ".join(text.split())


def neutral(text: str) -> str:
    """Take the comment marks of Fountain out of a text, so that writing it can never hide what follows."""
    return re.sub(r"\[(?=\[)", "[ ", text).replace("/*", "/ *")


def enclosed(text: str) -> bool:
    """Whether one pair of brackets holds the whole text: "(a)" and "((a) b)", not "(a) or (b)"."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depth = 0
    for place, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return place == len(text) - 1
    return False


def spoken(text: str) -> str:
    """Return speech on one line, without what would make it a lyric or a parenthetical."""
    text = neutral(one_line(text)).lstrip("~ ")
    while enclosed(text):
        text = text[1:-1].lstrip("~ ").rstrip()
    return text


def directed(text: str) -> str:
    """Return a transition on one line, without the marks that force or centre it."""
    return neutral(one_line(text)).strip("<> ")


def without_scenes(what_to_add: str) -> InvalidInputError:
    """Return the error for a file in which no scene was found."""
    return InvalidInputError(f"This story has no scenes. {what_to_add}", code="story_without_scenes")
