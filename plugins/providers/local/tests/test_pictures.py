"""Pictures that attack: bombs, other formats under a picture's name, broken files."""

from __future__ import annotations

import struct
import zlib

import pytest
from PIL import Image

from studio import ScoreRequest, VideoRequest
from studio_local.runtime import runtime_of
from studio_local.score import LocalAssetScorer
from studio_local.video import LocalVideoGenerator

pytestmark = pytest.mark.child


def bomb(side=13_000):
    """Return a PNG of some 20 KB that stands for side x side pixels of one bit."""
    rows = zlib.compress(bytes((side // 8 + 2) * side), 9)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def saved(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    Image.new("RGB", (64, 64), (200, 90, 30)).save(path)
    return path.read_bytes()


def attacks(tmp_path):
    jpeg = saved(tmp_path, "jpg")
    return {
        "bomb": bomb(),
        "empty": b"",
        "html": b"<html><script>alert(1)</script></html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script/></svg>',
        "gif": saved(tmp_path, "gif"),
        "tiff": saved(tmp_path, "tiff"),
        "bmp": saved(tmp_path, "bmp"),
        "polyglot": b"GIF89a=1;alert(document.domain)//" + bytes(64),
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "half": jpeg[: len(jpeg) // 2],
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
    }


async def test_no_attack_is_judged_or_filmed_and_the_worker_lives(warm, tools, tmp_path):
    for name, data in attacks(tmp_path).items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        judged = await tools.finished(LocalAssetScorer(warm), ScoreRequest(job_id=f"a-{name}", image=path))
        request = VideoRequest(job_id=f"f-{name}", image=path, duration_ms=200, width=64, height=64)
        filmed = await tools.finished(LocalVideoGenerator(warm), request)
        for done in (judged, filmed):
            assert (name, done.state) == (name, "failed")
            assert (done.error.code, done.error.input) == ("provider_rejected", "image"), done.error
            assert not done.error.retryable
    workers = runtime_of(warm).workers
    assert len(workers._idle) >= 1
    assert all(worker.alive for worker in workers._idle)


async def test_bomb_says_how_much_is_allowed(warm, tools, tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb())
    assert len(bomb()) < 30_000
    done = await tools.finished(LocalAssetScorer(warm), ScoreRequest(job_id="b", image=tmp_path / "bomb.png"))
    assert "50 million pixels" in done.error.message


async def test_picture_of_fifty_million_pixels_is_read(warm, tools, tmp_path):
    Image.new("L", (7_071, 7_071), 90).save(tmp_path / "large.png")
    done = await tools.finished(
        LocalAssetScorer(warm), ScoreRequest(job_id="l", image=tmp_path / "large.png")
    )
    assert done.state == "succeeded", done.error


async def test_picture_that_needs_more_memory_than_a_worker_has_is_refused(fresh, tools, tmp_path):
    Image.new("RGB", (7_000, 7_000)).save(tmp_path / "large.png")
    provider = LocalAssetScorer(fresh(child_memory_mb=256))
    done = await tools.finished(provider, ScoreRequest(job_id="m", image=tmp_path / "large.png"))
    assert (done.state, done.error.code) == ("failed", "provider_rejected"), done.error
    assert "memory" in done.error.message
