"""What a stranger typed, made fit for a mail: one line where a line is due, nothing invisible, never too long."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, StringConstraints

from studio import InvalidInputError

NAME_CHARS, TITLE_CHARS, TEXT_CHARS, SUBJECT_CHARS, ADDRESS_CHARS = 100, 200, 5_000, 150, 254
"""Longest display name, title, text, subject and address. Source of the last: RFC 5321, 4.5.3.1.3."""
_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_ADDRESS = re.compile(r'[^\s@<>()\[\],;:"\\]+@[^\s@<>()\[\],;:"\\]+')
_HIDDEN = {"Cc", "Cf", "Cs"}
"""Controls, format characters (turned text, zero width) and lone surrogates: what a reader cannot see."""
_JOINERS = "\u200c\u200d"
"""Zero width, and yet letters of Persian and Indic scripts and parts of emoji."""


def one_line(value: object, limit: int) -> str:
    """Return `value` as one line of at most `limit` characters, "…" where it was cut."""
    text = " ".join(_visible(_BREAKS.sub(" ", str(value))).split())
    text = text.replace("=?", "= ?")  # else an encoded word (RFC 2047): it may hold what was just taken out
    return text if len(text) <= limit else text[: limit - 1] + "…"


def many_lines(value: object, limit: int = TEXT_CHARS) -> str:
    """Return `value` with plain line breaks and at most `limit` characters, "…" where it was cut."""
    lines = [_visible(line.replace("\t", " ")).rstrip() for line in _BREAKS.split(str(value))]
    text = "\n".join(lines).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _visible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) not in _HIDDEN or c in _JOINERS)


def address(value: str) -> str:
    """Return a bare address as it is; raises InvalidInputError on anything that could be more than one."""
    good = len(value) <= ADDRESS_CHARS and _ADDRESS.fullmatch(value) and _visible(value) == value
    if not good or any(c in value for c in (*_JOINERS, "=?")):
        raise InvalidInputError("This is no mail address: send to one plain address like ann@example.org.")
    return value


def web_address(value: str) -> str:
    """Return a link that a mail may carry: http, https, or a path on this server; raises ValueError."""
    if not re.fullmatch(r"(https?:/)?/[^\s/\\<>\"'`][^\s\\<>\"'`]*", value) or _visible(value) != value:
        raise ValueError("a link in a mail starts with https://, http:// or / and holds no space or quote")
    return value


def _cut(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: one_line(value, limit) if isinstance(value, str) else value)


Name = Annotated[str, _cut(NAME_CHARS)]
Title = Annotated[str, _cut(TITLE_CHARS)]
Text = Annotated[str, BeforeValidator(lambda v: many_lines(v) if isinstance(v, str) else v)]
Address = Annotated[str, AfterValidator(address)]
Link = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(web_address)]
