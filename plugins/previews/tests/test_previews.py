"""Thumbnails on takes: stored, addressed, shown, and never a reason to lose what was paid."""

from __future__ import annotations

import asyncio

import pytest

from studio import ProviderError, ProviderRejectedError, StorageFullError

pytestmark = pytest.mark.http
ASSETS = "/api/assetGen/assets"


async def take_of(world, story, slot="panel"):
    if slot == "clip":
        await story.generate(0)
        world.thumbnailer.requests.clear()
    job = await story.generate(0, slot)
    assert job["state"] == "succeeded", job
    return (await world.get(f"{ASSETS}/{job['result_asset_ids'][0]}")).json


async def test_picture_has_a_thumbnail_a_blurhash_and_its_size(world, story):
    take = await take_of(world, story)
    assert take["blurhash"] == "LEHV6nWB2yk8pyo0adR*.7kCMdnj"
    assert (take["media"]["width"], take["media"]["height"]) == (1280, 720)  # the vendor's word counts
    assert take["previewError"] is None
    answer = await world.get(take["thumbnailUrl"])
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert answer.body.startswith(b"small picture of fake:")
    assert "immutable" in answer.headers["Cache-Control"]
    (asked,) = world.thumbnailer.requests
    assert (asked.mime, asked.long_side, asked.format, asked.at_ms) == ("image/png", 480, "jpeg", 0)
    listed = (await world.get(f"{ASSETS}?projectId={story.project_id}")).json["items"]
    assert [one["thumbnailUrl"] for one in listed] == [take["thumbnailUrl"]]


async def test_size_is_filled_in_where_the_vendor_named_none(world, story):
    take = await take_of(world, story, "clip")
    assert (take["media"]["width"], take["media"]["height"]) == (1280, 720)
    world_asset = await world.db["assets"].get(take["id"])
    service = world.services.provided[_previews()][1]
    added = await service.finalize(world_asset | {"media": {"width": None, "height": None, "text": "x"}})
    assert added["media"] == {"width": 1920, "height": 1080, "text": "x"}


def _previews():
    from studio_previews.service import Previews

    return Previews


@pytest.mark.parametrize(("length_ms", "at_ms"), [(None, 0), (600, 300), (5_000, 1_000)])
async def test_poster_of_a_clip_is_no_black_first_frame(world, story, length_ms, at_ms):
    take = await world.db["assets"].get((await take_of(world, story, "clip"))["id"])
    service = world.services.provided[_previews()][1]
    world.thumbnailer.requests.clear()
    await service.finalize(take | {"media": take["media"] | {"duration_ms": length_ms}})
    assert world.thumbnailer.requests[0].at_ms == at_ms


async def test_voice_has_no_thumbnail(world, story):
    take = await take_of(world, story, "voice")
    assert (take["thumbnailUrl"], take["previewError"], world.thumbnailer.requests) == (None, None, [])
    assert (await world.get(f"{ASSETS}/{take['id']}/thumbnail")).status == 404


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ProviderRejectedError("This is no JPEG."), "This is no JPEG."),
        (StorageFullError("no room"), "no room"),
        (ProviderError("The worker ended."), "The worker ended."),
        ({"blurhash": "<script>"}, "blurhash"),
        ({"blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj", "width": 0}, "width"),
        (lambda: asyncio.sleep(30), "0.2 s"),
    ],
    ids=["unreadable", "full", "crash", "bad_hash", "bad_size", "slow"],
)
async def test_what_cannot_be_shown_small_is_kept_and_says_why(world, story, answer, reason):
    world.thumbnailer.answer = answer
    take = await take_of(world, story)
    assert (take["state"], take["selected"], take["thumbnailUrl"]) == ("ready", True, None)
    assert take["blurhash"] is None
    assert reason in take["previewError"]
    assert (await world.get(take["url"])).status == 200


async def test_nobody_is_paid_for_a_thumbnail(world, story, monkeypatch):
    rows = world.services.providers.describe()
    priced = [
        row | {"models": [{"price_kind": "per_call"}]} if row["capability"] == "thumbnail" else row
        for row in rows
    ]
    monkeypatch.setattr(world.services.providers, "describe", lambda: priced)
    take = await take_of(world, story)
    assert world.thumbnailer.requests == []
    assert "for nothing" in take["previewError"]


async def test_thumbnail_of_another_project_is_not_found(world, story):
    take = await take_of(world, story)
    assert (await world.get(take["thumbnailUrl"], user="eve")).status == 404
    assert (await world.get(f"{ASSETS}/{take['id']}/thumbnail?v=00000000")).status == 404


async def test_a_client_that_listens_gets_the_addresses_with_the_news(world, story, monkeypatch):
    told = []
    monkeypatch.setattr(
        world.services.realtime, "publish_room", lambda room, event, data: told.append((event, data))
    )
    take = await take_of(world, story)
    (data,) = [data for event, data in told if event == "asset.ready"]
    assert (data["thumbnailUrl"], data["blurhash"]) == (take["thumbnailUrl"], take["blurhash"])
