"""The binary frames of `application/vnd.amazon.eventstream`: lengths bounded and both checksums checked.

A frame is: total length, length of the headers, CRC-32 of these two, headers, payload, CRC-32 of all before; numbers
are 32 bits, big endian. Source: Smithy, Amazon Event Stream specification.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_FRAME, MAX_HEADERS = 1_048_576, 16_384
_PRELUDE, _CRC = 12, 4
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type: true, false, byte, short, integer, long, timestamp, UUID."""
_BYTES, _STRING = 6, 7


class FrameError(ValueError):
    """The bytes are no event stream, or were changed on the way."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message; of the headers those that are text."""

    headers: Mapping[str, str]
    payload: bytes


class FrameReader:
    """Cuts frames out of pieces of any size; never holds more than one frame and one piece."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole with `piece`; raises FrameError."""
        self._buffer += piece
        while len(self._buffer) >= _PRELUDE and len(self._buffer) >= (total := self._total()):
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _frame(frame)

    def close(self) -> None:
        """Raise FrameError when the stream has ended inside a frame."""
        if self._buffer:
            raise FrameError("the stream ends inside a frame")

    def _total(self) -> int:
        """Return the length of the next frame, believed only with its checksum."""
        total, headers, crc = struct.unpack_from(">III", self._buffer)
        if zlib.crc32(self._buffer[: _PRELUDE - _CRC]) != crc:
            raise FrameError("the checksum of a prelude is wrong")
        if headers > MAX_HEADERS or not _PRELUDE + headers + _CRC <= total <= MAX_FRAME:
            raise FrameError("a frame has an impossible length")
        return int(total)


def _frame(frame: bytes) -> Frame:
    (crc,) = struct.unpack_from(">I", frame, len(frame) - _CRC)
    if zlib.crc32(frame[:-_CRC]) != crc:
        raise FrameError("the checksum of a frame is wrong")
    end = _PRELUDE + struct.unpack_from(">I", frame, 4)[0]
    try:
        headers = dict(_headers(frame[_PRELUDE:end]))
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise FrameError("the headers of a frame cannot be read") from error
    return Frame(headers, frame[end:-_CRC])


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(data):
        start, at = at + 1, at + 1 + data[at]
        name, kind, at = data[start:at].decode(), data[at], at + 1
        if kind in (_BYTES, _STRING):
            (size,) = struct.unpack_from(">H", data, at)
            at += 2
        elif (fixed := _FIXED.get(kind)) is not None:
            size = fixed
        else:
            raise FrameError("a header has an unknown type")
        value, at = data[at : at + size], at + size
        if at > len(data):
            raise FrameError("a header is longer than the headers")
        if kind == _STRING:
            yield name, value.decode()
