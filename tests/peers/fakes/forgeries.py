"""Calls that no webhook scheme may take: changed, cut, re-encoded, mixed up, late, early, signed with another key.

`forgeries(headers, body, sign)` knows no scheme: it takes a good call apart and puts it together wrongly.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

HOUR, DAY, YEAR = 3_600, 86_400, 31_536_000
Case = tuple[str, dict[str, str], bytes]
"""What is wrong, the headers (names in lower case), the body."""


class Sign(Protocol):
    """Signs a call as the vendor does, each time with a delivery id of its own."""

    def __call__(self, body: bytes, *, at_s: int | None = None, forged: bool = False) -> dict[str, str]:
        """Return the scheme's headers at `at_s` (unix seconds, None: now), `forged`: with a key that is not ours."""
        ...


def forgeries(
    headers: Mapping[str, str],
    body: bytes,
    sign: Sign,
    *,
    signed: Collection[str] = (),
    body_signed: bool = True,
    tolerance_s: int = 300,
) -> list[Case]:
    """Return at least 30 calls that must be refused, made of the good one (`headers`, `body`).

    `signed` names the headers that the scheme looks at, all that `sign` returns when it is empty. A scheme that
    does not sign the body says so with `body_signed`. `tolerance_s` is how far a clock may be off, both ways.
    """
    names = sorted(signed or sign(body))
    found = [*_damaged(headers, body, names), *_mixed(headers, body, sign, names, body_signed=body_signed)]
    found += [*_at_other_times(headers, body, sign, names, tolerance_s), *_wrong_keys(headers, body, sign)]
    if body_signed:
        found += [(f"body {what}", dict(headers), changed) for what, changed in changed_bodies(body)]
    return [case for case in found if case[1:] != (dict(headers), body)]


def changed_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what is near to a body and is another one."""
    middle = len(body) // 2
    yield "empty", b""
    yield "without its last byte", body[:-1]
    yield "without its first byte", body[1:]
    yield "cut in half", body[:middle]
    yield "with a space at the end", body + b" "
    yield "with a line break at the end", body + b"\n"
    yield "with a NUL at the end", body + b"\0"
    yield "behind a byte order mark", b"\xef\xbb\xbf" + body
    yield "twice", body + body
    for place in (0, middle, len(body) - 1):
        yield f"with bit 0 of byte {place} turned", _turned(body, place)
    yield "in capitals", body.upper()
    yield "with CRLF for LF", body.replace(b"\n", b"\r\n")
    yield "as base64", base64.b64encode(body)
    yield "as gzip", gzip.compress(body, mtime=0)
    yield "as UTF-16", body.decode("utf-8", "replace").encode("utf-16")
    yield "percent-encoded", "".join(f"%{byte:02x}" for byte in body).encode()
    yield "null", b"null"
    yield from _written_otherwise(body)


def _turned(body: bytes, place: int) -> bytes:
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :] if body else b"\1"


def _written_otherwise(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield JSON that says the same in other bytes, and JSON that says something else."""
    try:
        value = json.loads(body)
    except ValueError:
        return
    yield "with other spaces", json.dumps(value, indent=3).encode()
    yield "with escapes", "".join(f"\\u{ord(c):04x}" if c.isalpha() else c for c in body.decode()).encode()
    if isinstance(value, dict):
        turned = dict(reversed(value.items()))
        yield "in another order", json.dumps(turned, separators=(",", ":")).encode()
        yield "with one field more", json.dumps({**value, "more": 1}, separators=(",", ":")).encode()
        yield "with a field twice", body.rstrip()[:-1] + b',"id":"another","status":"failed"}'


def _damaged(headers: Mapping[str, str], body: bytes, names: Collection[str]) -> Iterator[Case]:
    yield "no header at all", {}, body
    yield "no header of the scheme", {n: v for n, v in headers.items() if n not in names}, body
    for name in names:
        value = headers[name]
        middle = len(value) // 2
        yield f"{name} missing", {n: v for n, v in headers.items() if n != name}, body
        other = "A" if value[middle : middle + 1] != "A" else "B"
        for what, changed in (
            ("empty", ""),
            ("null", "null"),
            ("cut in half", value[:middle]),
            ("without its first letter", value[1:]),
            ("behind a letter", f"x{value}"),
            ("turned round", value[::-1]),
            ("with another letter in the middle", value[:middle] + other + value[middle + 1 :]),
            ("with zeros for letters and digits", re.sub(r"[0-9A-Za-z]", "0", value)),
        ):
            yield f"{name} {what}", {**headers, name: changed}, body


def _mixed(
    headers: Mapping[str, str], body: bytes, sign: Sign, names: Collection[str], *, body_signed: bool
) -> Iterator[Case]:
    """Yield one call made of two good ones."""
    foreign = b'{"id":"another","status":"failed"}'
    other = {**headers, **sign(foreign)}
    if body_signed:
        yield "headers of another call", other, body
        yield "body of another call", dict(headers), foreign
    if len(names) > 1:
        for name in names:
            yield f"{name} of another call", {**headers, name: other[name]}, body
            yield f"only {name} of this call", {**other, name: headers[name]}, body


def _at_other_times(
    headers: Mapping[str, str], body: bytes, sign: Sign, names: Collection[str], tolerance_s: int
) -> Iterator[Case]:
    now = int(time.time())
    late, early = (tolerance_s + 60, 2 * HOUR, DAY, 28 * DAY, YEAR), (tolerance_s + 60, 2 * HOUR, DAY, YEAR)
    for seconds in late:
        yield f"{seconds} s late", {**headers, **sign(body, at_s=now - seconds)}, body
    for seconds in early:
        yield f"{seconds} s early", {**headers, **sign(body, at_s=now + seconds)}, body
    then = now - DAY
    old, fresh = {**headers, **sign(body, at_s=then)}, {**headers, **sign(body, at_s=now)}
    renewed = {name: value.replace(str(then), str(now)) for name, value in old.items()}
    yield "a day old, its time set to now", renewed if renewed != old else {}, body
    if len(names) > 1:
        for name in names:
            yield f"a day old, with {name} of now", {**old, name: fresh[name]}, body
    for name in (name for name in names if fresh[name] == str(now)):
        for written in ("{}.0", "+{}", "0{}", "{}e0", "{}000", "{}.9"):
            yield f"{name} written as {written}", {**fresh, name: written.format(now)}, body


def _wrong_keys(headers: Mapping[str, str], body: bytes, sign: Sign) -> Iterator[Case]:
    foreign = b'{"id":"another","status":"succeeded"}'
    yield "signed with another key", {**headers, **sign(body, forged=True)}, body
    yield "another body, signed with another key", {**headers, **sign(foreign, forged=True)}, foreign
    yield "an empty body, signed with another key", {**headers, **sign(b"", forged=True)}, b""
