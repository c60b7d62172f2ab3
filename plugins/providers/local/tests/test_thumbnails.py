"""Thumbnails and blurhashes: the hash against the reference encoder, sizes, frames, and hostile files."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from studio import VideoRequest
from studio_local.blurhash import blurhash
from studio_local.pictures import turned
from studio_local.runtime import runtime_of
from studio_local.thumbnail import LocalThumbnailer
from studio_local.video import LocalVideoGenerator
from studio_previews.api import ThumbnailData, ThumbnailRequest

pytestmark = pytest.mark.child


def pattern(width, height):
    y, x = np.mgrid[0:height, 0:width]
    channels = (x * 255 // (width - 1), y * 255 // (height - 1), ((x * 7) ^ (y * 13)) & 255)
    return np.stack(channels, -1).astype(np.uint8)


NINE = (
    "|$Hezh2nwvX8a{ofWoofWqqNW7jwajfNe.fSjIa^gHflfTfgfSfjfOfkfRspWsjqa]fUfSfOjta}epfNfSfTfOfOfQfQfRt7W-jubIfOflfSj?a}"
    "eqf8fOf6fPf8fOf5fTt7W=jtbGfPfjfPj[a}eof4fRf9fRf7fSf9fO"
)


@pytest.mark.parametrize(
    ("width", "height", "across", "down", "expected"),
    [
        (40, 24, 4, 3, "L$Hewb2n$4X9l|WSjqfAgHfefOfn"),
        (24, 40, 3, 4, "T$HoE|2swwl[acjvgcfkfRnfa[jw"),
        (32, 32, 1, 1, "00HetS"),
        (33, 17, 9, 9, NINE),
    ],
)
def test_hash_is_that_of_the_reference_encoder(width, height, across, down, expected):
    """Source: `blurHashForPixels` of C/encode.c at woltapp/blurhash 0a1f978, over the same pixels."""
    assert blurhash(pattern(width, height), across, down) == expected


async def thumbnail(ctx, tools, path, name, **more):
    request = ThumbnailRequest(job_id=name, file=path, **{"mime": "image/png"} | more)
    return await tools.finished(LocalThumbnailer(ctx), request)


@pytest.mark.parametrize(
    ("size", "small", "form"), [((1280, 720), (480, 270), "jpeg"), ((300, 900), (160, 480), "webp")]
)
async def test_thumbnail_keeps_the_shape_and_tells_the_size_of_the_file(
    warm, tools, tmp_path, size, small, form
):
    path = tools.still(tmp_path / "a.png", size=size)
    done = await thumbnail(warm, tools, path, f"shape-{form}", format=form)
    file, data = done.files[0], ThumbnailData.model_validate(done.data)
    assert (file.mime, file.width, file.height) == (f"image/{form}", *small)
    assert (data.width, data.height) == size
    with Image.open(file.path) as image:
        assert (image.format, image.size) == (form.upper(), small)
    assert len(data.blurhash) == 28
    assert data.blurhash[0] == {"jpeg": "L", "webp": "T"}[form]  # 4 by 3, or 3 by 4


async def test_small_picture_is_not_enlarged(warm, tools, tmp_path):
    path = tools.still(tmp_path / "a.png", size=(64, 48))
    assert (await thumbnail(warm, tools, path, "small")).files[0].width == 64


async def test_picture_is_turned_as_its_camera_was_held(warm, tools, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.jpg", exif=exif)
    done = await thumbnail(warm, tools, tmp_path / "a.jpg", "turned", mime="image/jpeg")
    assert (done.files[0].width, done.files[0].height) == (100, 200)
    assert (done.data["width"], done.data["height"]) == (100, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_way_to_hold_a_camera_is_turned_back(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    held = io.BytesIO()
    Image.fromarray(pattern(40, 24)).save(held, "PNG", exif=exif)
    with Image.open(held) as image:
        turned_by_pillow = ImageOps.exif_transpose(image)
        assert np.array_equal(np.asarray(turned(image)), np.asarray(turned_by_pillow))


async def test_notes_of_a_camera_that_make_no_sense_cost_no_worker(warm, tools, tmp_path):
    """Orientation 6, and an ASCII tag whose type says rational: Pillow reads it, and cannot write it again."""
    entries = struct.pack("<HHIHH", 274, 3, 1, 6, 0) + struct.pack("<HHII", 271, 5, 1, 38)
    notes = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + b"\0" * 4 + struct.pack("<II", 1, 2)
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0" + notes)
    done = await thumbnail(warm, tools, tmp_path / "a.jpg", "notes", mime="image/jpeg")
    assert (done.state, done.files[0].width, done.files[0].height) == ("succeeded", 100, 200)


async def test_thumbnail_carries_nothing_that_was_noted_in_the_file(warm, tools, tmp_path):
    exif = Image.Exif()
    exif[271] = "SECRET"
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.jpg", exif=exif, comment=b"SECRET" * 9_000)
    done = await thumbnail(warm, tools, tmp_path / "a.jpg", "noted", mime="image/jpeg")
    assert b"SECRET" not in done.files[0].path.read_bytes()


async def test_what_is_transparent_shows_white(warm, tools, tmp_path):
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "a.png")
    done = await thumbnail(warm, tools, tmp_path / "a.png", "clear")
    with Image.open(done.files[0].path) as image:
        assert min(image.getpixel((20, 20))) > 250


async def test_frame_of_a_clip_is_taken_where_it_is_asked_for(warm, tools, tmp_path):
    still = tools.still(tmp_path / "a.png", colour=(200, 30, 30))
    asked = VideoRequest(job_id="clip", image=still, duration_ms=1_000, width=320, height=180)
    clip = (await tools.finished(LocalVideoGenerator(warm), asked)).files[0].path
    done = await thumbnail(warm, tools, clip, "frame", mime="video/mp4", at_ms=500, long_side=160)
    assert (done.files[0].width, done.files[0].height) == (160, 90)
    assert (done.data["width"], done.data["height"]) == (320, 180)
    with Image.open(done.files[0].path) as image:
        red, green, blue = image.getpixel((80, 85))
    assert red > 150 > green + blue
    late = await thumbnail(warm, tools, clip, "late", mime="video/mp4", at_ms=5_000)
    assert (late.state, late.error.code, late.error.input) == ("failed", "provider_rejected", "image")


@pytest.mark.parametrize("mime", ["image/png", "video/mp4"])
async def test_no_attack_becomes_a_thumbnail_and_the_worker_lives(warm, tools, tmp_path, mime):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.gif")
    Image.new("L", (9_000, 9_000)).save(tmp_path / "bomb.png")
    attacks = {
        "bomb": (tmp_path / "bomb.png").read_bytes(),
        "gif": (tmp_path / "x.gif").read_bytes(),
        "empty": b"",
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    }
    for name, data in attacks.items():
        path = tmp_path / f"{name}.bin"
        path.write_bytes(data)
        done = await thumbnail(warm, tools, path, f"attack-{name}-{mime[:5]}", mime=mime)
        assert (name, done.state, done.error and done.error.code) == (name, "failed", "provider_rejected")
    assert all(worker.alive for worker in runtime_of(warm).workers._idle)


async def test_frame_of_more_pixels_than_a_picture_may_have_is_not_decoded(warm, tools, tmp_path):
    large = ["-f", "lavfi", "-i", "color=s=8000x6400:r=1:d=1", "-frames:v", "1", "-c:v", "png"]
    await runtime_of(warm).ffmpeg.run([*large, "-pix_fmt", "gray", "-f", "mov", "a.mp4"], cwd=tmp_path)
    done = await thumbnail(warm, tools, tmp_path / "a.mp4", "large", mime="video/mp4")
    assert (done.state, done.error.code) == ("failed", "provider_rejected")
    assert "No frame can be read" in done.error.message  # by ffmpeg, not by who would have made it small


async def test_video_of_an_unknown_kind_is_refused_before_anything_runs(warm, tools, tmp_path):
    from studio import ProviderRejectedError

    path = tools.still(tmp_path / "a.png")
    with pytest.raises(ProviderRejectedError, match="video/x-flv"):
        await thumbnail(warm, tools, path, "flv", mime="video/x-flv")
