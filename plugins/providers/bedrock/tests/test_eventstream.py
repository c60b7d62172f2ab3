"""The frames of an event stream: cut anywhere, broken anywhere."""

from __future__ import annotations

import random
import struct
import zlib

import pytest

from studio_bedrock.eventstream import MAX_FRAME, FrameError, FrameReader

pytestmark = pytest.mark.pure


@pytest.fixture(scope="session")
def frame(load_fake):
    return load_fake("bedrock").frame


def sealed(total, headers, rest=b""):
    """Return a prelude that is right about its own checksum, and what follows."""
    prelude = struct.pack(">II", total, headers)
    return prelude + struct.pack(">I", zlib.crc32(prelude)) + rest


def closed(headers, payload=b""):
    """Return a frame whose checksums are right, whatever its headers are."""
    data = sealed(16 + len(headers) + len(payload), len(headers), headers + payload)
    return data + struct.pack(">I", zlib.crc32(data))


def read(*pieces):
    reader = FrameReader()
    found = [frame for piece in pieces for frame in reader.feed(piece)]
    reader.close()
    return found


@pytest.mark.parametrize("size", [1, 2, 11, 12, 13, 64, 10_000])
def test_frames_are_found_however_the_bytes_are_cut(frame, size):
    data = b"".join(frame({":event-type": f"e{n}", "x": "é"}, {"n": n}) for n in range(20))
    found = read(*(data[at : at + size] for at in range(0, len(data), size)))
    assert [(f.headers[":event-type"], f.headers["x"], f.payload) for f in found] == [
        (f"e{n}", "é", b'{"n": %d}' % n) for n in range(20)
    ]


def test_every_changed_byte_is_noticed(frame):
    data = frame({":event-type": "contentBlockDelta"}, {"delta": {"text": "hello"}})
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        with pytest.raises(FrameError):
            read(changed)


def test_stream_that_ends_inside_a_frame_is_noticed(frame):
    data = frame({"a": "b"}, b"payload")
    for end in range(1, len(data)):
        with pytest.raises(FrameError, match="inside a frame"):
            read(data[:end])


@pytest.mark.parametrize(
    ("total", "headers"),
    [(0, 0), (15, 0), (16, 1), (MAX_FRAME + 1, 0), (2**32 - 1, 0), (100, 2**32 - 1), (100_000, 20_000)],
)
def test_impossible_length_is_refused_before_it_is_read(total, headers):
    with pytest.raises(FrameError, match="impossible length"):
        read(sealed(total, headers))


VALUES = {
    0: b"",
    1: b"",
    2: b"\x01",
    3: b"\0\1",
    4: b"\0" * 4,
    5: b"\0" * 8,
    6: b"\0\x02ab",
    8: b"\0" * 8,
    9: b"\0" * 16,
}


@pytest.mark.parametrize("kind", VALUES)
def test_headers_of_other_types_are_passed_over(kind):
    headers = b"\x01n" + bytes([kind]) + VALUES[kind] + b"\x01s\x07\0\x02ok"
    assert read(closed(headers, b"p"))[0].headers == {"s": "ok"}


@pytest.mark.parametrize(
    "headers",
    [b"\x05n", b"\x01n", b"\x01n\x07", b"\x01n\x07\0", b"\x01n\x07\0\x09ab", b"\x01n\x0a", b"\x01n\xff", b"\x01n\x05\0",
     b"\x01\xff\x07\0\x01a", b"\x01n\x07\0\x01\xff"],
    ids=repr,
)  # fmt: skip
def test_headers_that_cannot_be_read_are_refused(headers):
    with pytest.raises(FrameError):
        read(closed(headers))


def test_noise_is_never_a_frame():
    noise = random.Random(7)
    for _ in range(500):
        with pytest.raises(FrameError):
            read(noise.randbytes(noise.randrange(1, 200)))
