"""Final Draft (FDX) to tokens, and back.

The reader of screenplay-tools 0.0.10 keeps only the first text run of a paragraph, loses both speakers of
dual dialogue and scene numbers, and expands entities; its writer drops scene numbers, title and dual
dialogue. So FDX is read here, as a stream from expat: no tree, no document type, no entities.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, NoReturn
from xml.parsers import expat

from studio import InvalidInputError
from studio_stories.importer.model import (
    ParsedElement,
    ParsedScene,
    ParsedStory,
    Token,
    TokenKind,
    enclosed,
    one_line,
)
from studio_stories.importer.names import split_cue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_DEPTH = 64
MAX_NODES = 500_000
_KINDS: dict[str, TokenKind] = {
    "Scene Heading": "heading",
    "Scene Heading (Top of Page)": "heading",
    "Character": "cue",
    "Parenthetical": "parenthetical",
    "Dialogue": "dialogue",
    "Singing": "dialogue",
    "Lyrics": "dialogue",
    "Transition": "transition",
}
_LEFT_OUT = frozenset({"Cast List", "Outline 1", "Outline 2", "Outline 3", "Outline 4", "Outline Body"})


@dataclass(slots=True)
class _Paragraph:
    """One open paragraph. Final Draft nests them: dual dialogue holds the paragraphs of both speakers."""

    kind: str
    number: str
    dual: bool
    text: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FdxText:
    """What an FDX file holds: the lines of its title page and its tokens."""

    title_page: list[str] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)


class _Reader:
    """Expat's handlers. Text counts only inside `<Text>` of a paragraph of `<Content>` or `<TitlePage>`."""

    def __init__(self) -> None:
        self.found = FdxText()
        self._path: list[str] = []
        self._open: list[_Paragraph] = []
        self._nodes = 0
        self._cues_in_dual = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._nodes += 1
        if len(self._path) >= MAX_DEPTH or self._nodes > MAX_NODES:
            raise InvalidInputError(
                "The FDX file is nested too deep or has too many parts.", code="story_broken"
            )
        if not self._path and tag != "FinalDraft":
            raise InvalidInputError(
                f"This XML is no Final Draft document: it begins with <{tag}>, not <FinalDraft>.",
                code="story_broken",
            )
        self._path.append(tag)
        if tag == "DualDialogue":
            self._cues_in_dual = 0
        elif tag == "Paragraph":
            self._open.append(self._paragraph(attributes))

    def _paragraph(self, attributes: dict[str, str]) -> _Paragraph:
        kind = attributes.get("Type", "Action")
        second = False
        if "DualDialogue" in self._path and kind == "Character":
            self._cues_in_dual += 1
            second = self._cues_in_dual > 1
        return _Paragraph(kind, attributes.get("Number", ""), second)

    def text(self, data: str) -> None:
        if self._open and self._path[-1] == "Text" and "ScriptNote" not in self._path:
            self._open[-1].text.append(data)

    def end(self, tag: str) -> None:
        self._path.pop()
        if tag == "Paragraph":
            self._close(self._open.pop())

    def _close(self, paragraph: _Paragraph) -> None:
        text = "".join(paragraph.text).strip()
        if not text or "ScriptNote" in self._path:
            return
        if "TitlePage" in self._path:
            self.found.title_page.append(one_line(text))
        elif "Content" in self._path and paragraph.kind not in _LEFT_OUT:
            self.found.tokens.append(_token(paragraph, text))


def _token(paragraph: _Paragraph, text: str) -> Token:
    kind = _KINDS.get(paragraph.kind, "action")
    if kind == "cue":
        name, extension, dual = split_cue(text)
        return Token("cue", name, extension=extension, dual=dual or paragraph.dual)
    if kind == "parenthetical" and enclosed(text):
        text = text[1:-1]
    return Token(kind, text, number="".join(c for c in paragraph.number if c.isalnum() or c in ".-"))


def read_fdx(text: str) -> FdxText:
    """Read an FDX document; raises InvalidInputError (`story_broken`) with line and column, or on a DTD."""
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(text.lstrip().encode(), True)  # noqa: FBT003 - expat takes no keyword
    except expat.ExpatError as error:
        raise InvalidInputError(
            f"The FDX file is broken at line {error.lineno}, column {error.offset + 1}: "
            f"{expat.ErrorString(error.code)}. Export it again from your editor.",
            code="story_broken",
            line=error.lineno,
            column=error.offset + 1,
        ) from None
    return reader.found


def _refuse_doctype(*_: object) -> NoReturn:
    raise InvalidInputError(
        "The FDX file declares a document type or entities, which no script needs. Export it without them.",
        code="story_broken",
    )


def to_fdx(story: ParsedStory) -> str:
    """Write a story as a Final Draft document; synopses have no place in it."""
    title = "".join(
        _paragraph("", line) for line in (story.title, f"by {story.author}" if story.author else "")
    )
    body = "".join(part for scene in story.scenes for part in _scene(scene))
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        '<FinalDraft DocumentType="Script" Template="No" Version="5">\n'
        f"<Content>\n{body}</Content>\n<TitlePage><Content>\n{title}</Content></TitlePage>\n</FinalDraft>\n"
    )


def _scene(scene: ParsedScene) -> Iterator[str]:
    yield _paragraph("Scene Heading", scene.heading, scene.number)
    for elements in _dual_groups(scene.elements):
        inner = "".join(_element(element) for element in elements)
        dual = len(elements) > 1
        yield f"<Paragraph><DualDialogue>\n{inner}</DualDialogue></Paragraph>\n" if dual else inner


def _dual_groups(elements: Iterable[ParsedElement]) -> Iterator[list[ParsedElement]]:
    """Put a speech and the one spoken over it together."""
    groups: list[list[ParsedElement]] = []
    for element in elements:
        joins = element.dual and groups and len(groups[-1]) == 1 and groups[-1][0].kind == "dialogue"
        if joins:
            groups[-1].append(element)
        else:
            groups.append([element])
    yield from groups


def _element(element: ParsedElement) -> str:
    if element.kind == "action":
        return _paragraph("Action", element.text)
    if element.kind == "transition":
        return _paragraph("Transition", element.text)
    extension = f" ({element.extension})" if element.extension else ""
    parenthetical = _paragraph("Parenthetical", f"({element.parenthetical})") if element.parenthetical else ""
    cue = _paragraph("Character", f"{element.character or 'NARRATOR'}{extension}")
    return cue + parenthetical + _paragraph("Dialogue", element.text)


def _paragraph(kind: str, text: str, number: str = "") -> str:
    if not text:
        return ""
    attributes = (f' Type="{kind}"' if kind else "") + (f' Number="{escape(number)}"' if number else "")
    return f"<Paragraph{attributes}><Text>{escape(text)}</Text></Paragraph>\n"
