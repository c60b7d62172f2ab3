"""Panels: deterministic, and showing what the brief says."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from PIL import Image

from studio import CharacterBrief, ImageRequest, ProviderRejectedError, ShotBrief
from studio_local.drawing.exterior import set_name
from studio_local.drawing.interior import room_name
from studio_local.drawing.panel import FRAMINGS, draw_panel
from studio_local.drawing.slate import draw_slate, font, overlay_of, slug_line
from studio_local.image import LocalImageGenerator

pytestmark = pytest.mark.child
RED, GREEN = CharacterBrief(name="ANNA", colour="#d01818"), CharacterBrief(name="BEN", colour="#10b030")


def draw(tmp_path, name="p", size=(320, 180), seed=7, **brief):
    payload = {"brief": ShotBrief(**brief).model_dump(mode="json"), "seed": seed}
    path = tmp_path / f"{name}.jpg"
    draw_panel(payload | {"width": size[0], "height": size[1], "out": str(path)})
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def share_of(picture, colour):
    """Return the share of pixels whose strongest channel is `colour` (0 red, 1 green) by far."""
    others = np.delete(picture, colour, axis=2).max(axis=2)
    return float((picture[..., colour] > others * 1.8 + 25).mean())


def test_same_brief_and_seed_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path, name, int_ext="EXT", location="HARBOUR", weather="rain", characters=(RED, GREEN))
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


def test_another_seed_gives_another_picture(tmp_path):
    brief = {"int_ext": "EXT", "location": "FOREST", "shot_size": "LS", "characters": (RED,)}
    assert (draw(tmp_path, seed=1, **brief) != draw(tmp_path, seed=2001, **brief)).mean() > 0.2


@pytest.mark.parametrize("shot_size", sorted(FRAMINGS))
def test_every_shot_size_shows_its_characters_in_their_colours(tmp_path, shot_size):
    picture = draw(
        tmp_path,
        shot_size=shot_size,
        int_ext="EXT",
        location="DESERT",
        characters=(RED, GREEN),
        size=(640, 360),
    )
    least = 0.00002 if shot_size in {"ELS", "ECU"} else 0.002
    assert share_of(picture, 0) > least
    assert shot_size == "ECU" or share_of(picture, 1) > least / 4


def test_closer_sizes_show_a_larger_figure(tmp_path):
    shares = [
        share_of(draw(tmp_path, shot_size=size, location="OFFICE", characters=(RED,)), 0)
        for size in ("ELS", "LS", "MS")
    ]
    assert shares == sorted(shares)
    assert shares[2] > 10 * shares[0]


def test_night_is_darker_than_day_inside_and_outside(tmp_path):
    for int_ext in ("INT", "EXT"):
        day, night = (
            draw(tmp_path, int_ext=int_ext, location="FIELD", time_of_day=t).mean() for t in ("DAY", "NIGHT")
        )
        assert night < day - 25


@pytest.mark.parametrize("weather", ["rain", "snow", "fog", "storm", "wind"])
def test_weather_changes_the_picture(tmp_path, weather):
    clear = draw(tmp_path, int_ext="EXT", location="FIELD")
    assert np.abs(draw(tmp_path, int_ext="EXT", location="FIELD", weather=weather) - clear).mean() > 3


def test_number_of_characters_shows(tmp_path):
    crowd = tuple(CharacterBrief(name=f"P{i}", colour="#d01818") for i in range(7))
    one, seven = (share_of(draw(tmp_path, shot_size="LS", characters=c), 0) for c in (crowd[:1], crowd))
    assert seven > 1.5 * one


def test_location_words_count_whole_words():
    assert set_name("CITY STREET") == "city"
    assert set_name("SEASHORE") == "sea"
    assert set_name("TREES") == "forest"
    assert set_name("NOWHERE") == "field"
    assert room_name("POLICE STATION - OFFICE") == "office"
    assert room_name("ANNA'S PLACE") == "living"


def test_shipped_font_has_the_dash_and_the_accents_that_pillows_own_lacks():
    face = font(40)
    missing = bytes(face.getmask("\U000f0000"))
    for character in "—é→Ж":
        assert bytes(face.getmask(character)) != missing


def test_slug_line_reads_as_in_a_script():
    brief = ShotBrief(int_ext="EXT", location="harbour", time_of_day="night").model_dump()
    assert slug_line(brief) == "EXT. HARBOUR — NIGHT"


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (480, 480)])
def test_slate_stays_inside_the_picture_and_above_subtitles(size):
    image = Image.new("RGB", size, (255, 0, 255))
    brief = ShotBrief(code="88W", location="A" * 90, caption="word " * 60, movement="pan_left")
    draw_slate(image, brief.model_dump(mode="json"))
    marked = np.argwhere((np.asarray(image) != (255, 0, 255)).any(axis=2))
    assert marked[:, 1].min() >= size[1] * 0.05
    assert marked[:, 0].min() >= size[1] * 0.04
    assert marked[:, 0].max() < size[1] / 2


def test_slate_is_a_note_in_the_file_and_not_in_the_picture(tmp_path):
    brief = {"int_ext": "EXT", "location": "HARBOUR", "characters": (RED,), "code": "3A"}
    plain = draw(tmp_path, "plain", **brief)
    captioned = draw(tmp_path, "captioned", caption="The ferry is late.", **brief)
    assert (plain == captioned).all()
    with Image.open(tmp_path / "captioned.jpg") as image:
        overlay = overlay_of(image.info["comment"], (640, 360))
    assert overlay is not None
    assert overlay.image.getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize(
    "comment",
    [
        None, b"", b"{", b"holiday 2019", b"[]", b"7", b'{"studioSlate": 7}', b'{"studioSlate": {"code": "1"}}',
        b"[" * 100_000, b"\xff\xfe", "text",
    ],
)  # fmt: skip
def test_comment_of_a_strangers_file_is_no_slate(comment):
    assert overlay_of(comment, (640, 360)) is None


@pytest.mark.parametrize("size", [(512, 512), (360, 640), (200, 64)])
def test_other_aspect_ratios_are_drawn(tmp_path, size):
    picture = draw(tmp_path, size=size, int_ext="EXT", location="CITY", characters=(RED, GREEN))
    assert picture.shape == (size[1], size[0], 3)


def test_strange_colour_and_name_do_not_matter(tmp_path):
    strange = CharacterBrief(name="Ø \N{SNOWMAN}", colour="reddish")
    assert draw(tmp_path, characters=(strange,)).std() > 5


async def test_provider_draws_in_a_child_and_the_loop_stays_free(warm, tools):
    provider = LocalImageGenerator(warm)
    work = asyncio.ensure_future(
        tools.finished(provider, ImageRequest(job_id="img1", prompt="x", brief=ShotBrief(characters=(RED,))))
    )
    turns = 0
    while not work.done():
        await asyncio.wait({work}, timeout=0.005)
        turns += 1
    generation = work.result()
    with Image.open(generation.files[0].path) as image:
        assert (image.format, image.size) == ("JPEG", (1280, 720))
    assert turns > 10, "a panel drawn in this process holds the loop: a turn or two"


async def test_prompt_without_brief_becomes_a_panel(warm, tools):
    request = ImageRequest(job_id="img2", prompt="A quiet field", width=320, height=180)
    generation = await tools.finished(LocalImageGenerator(warm), request)
    assert generation.state == "succeeded"
    assert generation.files[0].mime == "image/jpeg"
    assert generation.cost_uusd == 0


async def test_size_out_of_reach_is_refused(warm):
    with pytest.raises(ProviderRejectedError) as caught:
        await LocalImageGenerator(warm).submit(ImageRequest(job_id="img3", prompt="x", width=90000))
    assert caught.value.extra["input"] == "size"
