"""Bytes to text, and which format it is. Every refusal says what to do instead."""

from __future__ import annotations

import codecs
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from studio import InvalidInputError, PayloadTooLargeError
from studio_stories.importer.headings import HEADING

if TYPE_CHECKING:
    from studio_stories.importer.model import Format

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a ZIP, Word or Pages file"),
    (b"\xd0\xcf\x11\xe0", "an old Word file"),
    (b"{\\rtf", "an RTF file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"SQLite format 3", "a database"),
)
_EXPORT = "Export it as Fountain (.fountain), Final Draft (.fdx) or plain text (.txt) and import that."
_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufeff\ufffe\uffff]")
_SUFFIXES: dict[str, Format] = {".fountain": "fountain", ".spmd": "fountain", ".fdx": "fdx"}
_CUE_AND_SPEECH = re.compile(r"\n[ \t]*\n[ \t]*[^\W\d_][^a-z\n]{0,40}(?:\([^)\n]*\))?[ \t]*\n[ \t]*\S")


def decode(data: bytes, limit_bytes: int) -> tuple[str, list[str]]:
    """Return the text with newlines made equal, and what was guessed.

    UTF-8, or UTF-16/32 with a byte order mark; else Windows-1252, with a warning. Raises
    PayloadTooLargeError and InvalidInputError (`story_binary`, `story_encoding`, `story_empty`).
    """
    if len(data) > limit_bytes:
        raise PayloadTooLargeError(
            f"The file has {len(data):,} bytes, the limit is {limit_bytes:,}. Import the story in parts.",
            limit=limit_bytes,
        )
    for magic, what in _MAGIC:
        if data.startswith(magic):
            raise InvalidInputError(f"This is {what}, not a script. {_EXPORT}", code="story_binary")
    text, warnings = _decode(data)
    clean = _CONTROLS.sub("", _NEWLINES.sub("\n", text))
    if len(text) - len(clean) > max(20, len(text) // 50) and text.count("\r\n") * 2 < len(text) - len(clean):
        raise InvalidInputError(f"This is a binary file, not a script. {_EXPORT}", code="story_binary")
    if not clean.strip():
        raise InvalidInputError("The file is empty: there is no story in it.", code="story_empty")
    return clean, warnings


def _decode(data: bytes) -> tuple[str, list[str]]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _strict(data[len(mark) :], encoding), []
    if b"\x00" in data:
        raise InvalidInputError(
            "The file holds NUL bytes: it is binary, or UTF-16 without a byte order mark. "
            "Save it as UTF-8 text, or export it as Fountain or FDX.",
            code="story_binary",
        )
    try:
        return data.decode(), []
    except UnicodeDecodeError as error:
        fallback = f"The text is not UTF-8 (byte {error.start}); it was read as Windows-1252."
    return _strict(data, "cp1252"), [fallback]


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"The text cannot be read as {encoding} (byte {error.start}). Save it as UTF-8.",
            code="story_encoding",
        ) from None


def detect(text: str, filename: str) -> Format:
    """Say which format a text is.

    What it holds comes first, then its name; a screenplay saved as .txt is Fountain.
    """
    start = text.lstrip()[:2000]
    if start.startswith(("<?xml", "<FinalDraft", "<!DOCTYPE")):
        return "fdx"
    named = _SUFFIXES.get(PurePath(filename).suffix.lower())
    if named:
        return named
    headings = any(HEADING.match(line) and line.upper() == line for line in text.split("\n"))
    return "fountain" if headings and _CUE_AND_SPEECH.search("\n" + text) else "text"
