"""Ken Burns clips."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFilter

from studio import ProviderRejectedError, VideoRequest
from studio_local.film.motion import ZOOM, phases, planes_of, rail_of
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


@pytest.mark.parametrize("size", [(320, 180), (178, 320)])
@pytest.mark.parametrize(
    ("movement", "first", "last"),
    [
        ("push_in", (1, 0.5, 0.5), (ZOOM, 0.5, 0.5)),
        ("pull_out", (ZOOM, 0.5, 0.5), (1, 0.5, 0.5)),
        ("pan_left", (ZOOM, 1, 0.5), (ZOOM, 0, 0.5)),
        ("pan_right", (ZOOM, 0, 0.5), (ZOOM, 1, 0.5)),
        ("tilt_up", (ZOOM, 0.5, 1), (ZOOM, 0.5, 0)),
        ("tilt_down", (ZOOM, 0.5, 0), (ZOOM, 0.5, 1)),
        ("dolly", (1, 0.5, 0.5), (1, 0.5, 0.5)),
    ],
)
def test_every_frame_is_what_a_filter_would_make_of_its_window(tools, tmp_path, movement, first, last, size):
    with Image.open(tools.still(tmp_path / "p.png", size=size)) as image:
        plane = image.convert("L").filter(ImageFilter.GaussianBlur(2))
    rail = rail_of(plane, movement)
    with ThreadPoolExecutor(1) as pool:
        for phase in (0, 0.013, 0.3, 0.5, 0.777, 1):
            rail.lay([phase], pool)
            width, height = ((1 - phase) / first[0] + phase / last[0],) * 2
            left = (1 - width) * ((1 - phase) * first[1] + phase * last[1]) * size[0]
            top = (1 - height) * ((1 - phase) * first[2] + phase * last[2]) * size[1]
            box = (left, top, left + width * size[0], top + height * size[1])
            wanted = plane.resize(size, Image.Resampling.BICUBIC, box=box)
            apart = np.abs(np.asarray(rail.at(phase)).astype(int) - np.asarray(wanted).astype(int))
            assert apart.mean() < 1.2
            assert apart.max() < 24


def test_camera_starts_and_stops_softly_and_one_frame_stands():
    seen = list(phases(96))
    steps = [b - a for a, b in itertools.pairwise(seen)]
    assert (seen[0], seen[-1]) == (0, 1)
    assert min(steps) > 0
    assert max(abs(b - a) for a, b in itertools.pairwise(steps)) < 0.002
    assert list(phases(1)) == [0]


def test_planes_hold_the_colours_of_bt709():
    """White, black and the three primaries, as ITU-R BT.709 counts them in 8 bits."""
    colours = {(255, 255, 255): (235, 128, 128), (0, 0, 0): (16, 128, 128), (255, 0, 0): (63, 102, 240)}
    colours |= {(0, 255, 0): (173, 42, 26), (0, 0, 255): (32, 240, 118)}
    for colour, wanted in colours.items():
        planes = planes_of(Image.new("RGB", (8, 4), colour))
        assert [plane.size for plane in planes] == [(8, 4), (4, 2), (4, 2)]
        assert [plane.getpixel((1, 1)) for plane in planes] == pytest.approx(wanted, abs=1)


async def test_turned_photograph_is_filmed_upright(warm, tools, tmp_path):
    image = Image.new("RGB", (180, 320), (20, 20, 20))
    image.paste((220, 30, 30), (0, 0, 180, 160))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright, its sensor lay on its side
    image.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif)
    request = VideoRequest(
        job_id="vid5", image=tmp_path / "turned.jpg", duration_ms=200, width=180, height=320
    )
    clip = (await tools.finished(LocalVideoGenerator(warm), request)).files[0].path
    seen = tools.pixels(clip, 0.1, "180x320")
    assert seen.getpixel((90, 30))[0] > 150
    assert seen.getpixel((90, 290))[0] < 80


async def test_motion_advances_in_fractions_of_a_pixel(warm, tools, tmp_path):
    """Follow an edge through a slow pan: rounding to whole pixels would make it stop and jump."""
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
