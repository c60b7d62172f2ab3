"""A packed answer is unpacked whole, in small pieces, and others run meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import random

import httpx
import pytest

from studio.http_call import PIECE, decoded

pytestmark = pytest.mark.memory


async def packed(content, size=65_536):
    zipped = gzip.compress(content)
    for start in range(0, len(zipped), size):
        yield zipped[start : start + size]


def answer(content, **options):
    return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=packed(content, **options))


async def test_much_in_little_comes_in_pieces_between_which_others_run():
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    content = b" " * (10 * PIECE + 7)  # some 2.6 KB as gzip: one read
    seen = [(len(piece), turns) async for piece in decoded(answer(content), len(content))]
    task.cancel()
    assert sum(size for size, _ in seen) == len(content)
    assert max(size for size, _ in seen) == PIECE
    assert len({when for _, when in seen}) >= 10


@pytest.mark.parametrize("size", [1, 999, 65_536])
@pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
async def test_answer_is_whole_however_it_is_cut(length, size):
    content = random.Random(length).randbytes(min(length, 4_000)) * (length // 4_000 + 1)
    content = content[:length]
    assert b"".join([piece async for piece in decoded(answer(content, size=size), length)]) == content
