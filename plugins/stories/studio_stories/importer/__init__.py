"""Story files in and out: Fountain, Final Draft (FDX) and prose; pure functions, no storage.

`parse_story` turns bytes into a `ParsedStory`; `to_fountain` and `to_fdx` write one, and reading that again
gives the same scenes.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING

from studio import PayloadTooLargeError
from studio_stories.importer.assemble import assemble, with_spans
from studio_stories.importer.decode import decode, detect
from studio_stories.importer.fdx import read_fdx, to_fdx
from studio_stories.importer.fountain import read_fountain
from studio_stories.importer.language import language_of
from studio_stories.importer.model import (
    MAX_SCRIPT_BYTES,
    Format,
    ParsedCharacter,
    ParsedElement,
    ParsedScene,
    ParsedStory,
    one_line,
    without_scenes,
)
from studio_stories.importer.names import cast_of
from studio_stories.importer.prose import read_prose
from studio_stories.importer.write import to_fountain, write_fountain

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAX_SCRIPT_BYTES",
    "Format",
    "ParsedCharacter",
    "ParsedElement",
    "ParsedScene",
    "ParsedStory",
    "parse_story",
    "to_fdx",
    "to_fountain",
]

_ADD_HEADING = (
    'Add a scene heading such as "INT. KITCHEN - DAY" on a line of its own before the first action.'
)
_BY = re.compile(r"^(?:(?:written|screenplay|story)\s+)?by[:\s]+(?P<name>\S.*)$", re.IGNORECASE)


def parse_story(
    data: bytes, filename: str, *, limit_bytes: int, story_format: Format | None = None
) -> ParsedStory:
    """Read a story file; the format comes from its content and name unless `story_format` says it.

    Raises PayloadTooLargeError over `limit_bytes` or `MAX_SCRIPT_BYTES`, and InvalidInputError with the code
    `story_binary`, `story_encoding`, `story_empty`, `story_broken` or `story_without_scenes`.
    """
    text, warnings = decode(data, limit_bytes)
    kind = story_format or detect(text, filename)
    if kind != "fdx":
        _check_length(text)
    read = {"fountain": _fountain, "fdx": _fdx, "text": _prose}[kind]
    return read(text, _stem(filename), tuple(warnings))


def _check_length(text: str) -> None:
    size = len(text.encode())
    if size > MAX_SCRIPT_BYTES:
        raise PayloadTooLargeError(
            f"The script has {size:,} bytes of text, the limit is {MAX_SCRIPT_BYTES:,}. Import it in parts.",
            code="story_too_long",
            limit=MAX_SCRIPT_BYTES,
        )


def _stem(filename: str) -> str:
    return one_line(PurePath(filename.replace("\\", "/")).stem.replace("-", " ").replace("_", " "))[:200]


def _fountain(text: str, stem: str, warnings: tuple[str, ...]) -> ParsedStory:
    found = read_fountain(text)
    scenes = assemble(found.tokens, len(text))
    if not scenes:
        raise without_scenes(_ADD_HEADING)
    page = found.title_page
    return ParsedStory(
        title=page.get("title") or stem or "Untitled",
        author=page.get("author") or page.get("authors") or page.get("written by") or "",
        language=page.get("language") or language_of(_spoken_text(scenes)),
        scenes=scenes,
        characters=cast_of(_speakers(scenes)),
        format="fountain",
        script_text=text,
        warnings=warnings,
    )


def _fdx(text: str, stem: str, warnings: tuple[str, ...]) -> ParsedStory:
    found = read_fdx(text)
    scenes = assemble(found.tokens, 0)
    if not scenes:
        raise without_scenes("Give at least one paragraph the style Scene Heading before you export.")
    lines = found.title_page
    author = next((match["name"] for line in lines if (match := _BY.match(line))), "")
    after = [line for previous, line in pairwise(lines) if _is_by(previous)]
    return _written(
        ParsedStory(
            title=lines[0] if lines else stem or "Untitled",
            author=author or (after[0] if after else ""),
            language=language_of(_spoken_text(scenes)),
            scenes=scenes,
            characters=cast_of(_speakers(scenes)),
            format="fdx",
            warnings=warnings,
        )
    )


def _is_by(line: str) -> bool:
    return line.lower().strip(" :") in {"by", "written by", "screenplay by", "story by"}


def _written(story: ParsedStory) -> ParsedStory:
    """Give a story that came as markup its script text in Fountain, and its scenes their places in it."""
    text, spans = write_fountain(story)
    _check_length(text)
    return ParsedStory(
        story.title,
        story.author,
        story.language,
        with_spans(story.scenes, spans),
        story.characters,
        format=story.format,
        script_text=text,
        warnings=story.warnings,
    )


def _prose(text: str, stem: str, warnings: tuple[str, ...]) -> ParsedStory:
    if not re.search(r"[^\W\d_]{2}", text):
        raise without_scenes("Write at least one sentence.")
    found = read_prose(text)
    scenes = assemble(found.tokens, len(text))
    if not scenes:
        raise without_scenes("There are only headings: write at least one sentence under one of them.")
    return ParsedStory(
        title=found.title or stem or "Untitled",
        author="",
        language=language_of(text),
        scenes=scenes,
        characters=cast_of(_speakers(scenes), found.names),
        format="text",
        script_text=text,
        warnings=warnings,
    )


def _speakers(scenes: Iterable[ParsedScene]) -> list[str]:
    return [e.character for scene in scenes for e in scene.elements if e.character]


def _spoken_text(scenes: Iterable[ParsedScene]) -> str:
    return " ".join(element.text for scene in scenes for element in scene.elements)
