"""Ken Burns clips."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from studio import ProviderRejectedError, VideoRequest
from studio_local.film.motion import ZOOM, windows
from studio_local.video import LocalVideoGenerator

pytestmark = pytest.mark.child
SMALL = {"width": 320, "height": 180}


async def test_clip_has_every_frame_in_h264_yuv420p(warm, tools, tmp_path):
    image = tools.still(tmp_path / "p%d.jpg")
    request = VideoRequest(job_id="vid1", image=image, duration_ms=1500, **SMALL)
    done = await tools.finished(LocalVideoGenerator(warm), request)
    seen = tools.decode(done.files[0].path)
    assert (seen.frames, seen.duration_ms) == (36, 1500)
    assert seen.video.startswith("h264")
    assert "yuv420p(tv, bt709" in seen.video
    assert seen.audio == ""
    assert done.files[0].duration_ms == 1500


async def test_push_in_enlarges_the_picture(warm, tools, tmp_path):
    image = tools.still(tmp_path / "p.png", size=(500, 400))
    request = VideoRequest(job_id="vid2", image=image, duration_ms=1000, **SMALL)
    clip = (await tools.finished(LocalVideoGenerator(warm), request)).files[0].path
    first, last = (np.asarray(tools.pixels(clip, at)).astype(int) for at in (0, 0.9))
    assert np.abs(first - last).mean() > 5


@pytest.mark.parametrize("movement", ["push_in", "pull_out", "pan_left", "pan_right", "tilt_up", "tilt_down"])
def test_camera_never_leaves_the_picture_and_never_trembles(movement):
    seen = list(windows(movement, 96))
    assert all(1 <= w.zoom <= ZOOM and 0 <= w.x <= 1 and 0 <= w.y <= 1 for w in seen)
    for values in zip(*seen, strict=True):
        steps = [b - a for a, b in itertools.pairwise(values)]
        assert all(step >= 0 for step in steps) or all(step <= 0 for step in steps)
        changes = [abs(b - a) for a, b in itertools.pairwise(steps)]
        assert max(changes) < 0.002
    assert seen[0] != seen[-1]


def test_unknown_movement_and_single_frame_stand_still():
    assert len(set(windows("dolly", 10))) == 1
    assert len(list(windows("push_in", 1))) == 1


async def test_motion_advances_in_fractions_of_a_pixel(warm, tools, tmp_path):
    """Follow an edge through a slow pan: rounding to whole pixels would make it stop and jump."""
    from PIL import Image

    image = Image.new("RGB", (640, 360), (20, 20, 20))
    image.paste((235, 235, 235), (320, 0, 640, 360))
    image.save(tmp_path / "edge.png")
    request = VideoRequest(
        job_id="vid3",
        image=tmp_path / "edge.png",
        duration_ms=4000,
        movement="pan_left",
        width=640,
        height=360,
    )
    clip = (await tools.finished(LocalVideoGenerator(warm), request)).files[0].path
    raw = tools.ffmpeg("-v", "error", "-i", clip, "-vf", "format=gray", "-f", "rawvideo", "-").stdout
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 360, 640)[:, 180].astype(float)
    edge = ((235 - np.clip(rows, 20, 235)) / 215).sum(axis=1)
    steps = np.diff(edge)[10:-10]
    assert (steps > 0.05).all()
    assert np.abs(np.diff(steps)).max() < 0.35


@pytest.mark.parametrize(
    ("change", "part"),
    [({"duration_ms": 1}, "duration_ms"), ({"width": 321}, "size"), ({"image": "gone.jpg"}, "image")],
)
async def test_impossible_clips_are_refused(warm, tools, tmp_path, change, part):
    kept = {"job_id": "vid4", "image": tools.still(tmp_path / "p.jpg"), "duration_ms": 1000} | SMALL
    with pytest.raises(ProviderRejectedError) as caught:
        await LocalVideoGenerator(warm).submit(VideoRequest(**(kept | change)))
    assert caught.value.extra["input"] == part
