from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.http
BASE = "/api/assetGen"


async def asset_of(world, story, number=0, slot="panel", **more):
    job = await story.generate(number, slot, **more)
    return (await world.get(f"{BASE}/assets/{job['result_asset_ids'][0]}")).json


async def test_asset_shows_owner_take_and_media(world, story):
    asset = await asset_of(world, story)
    assert asset["owner"] == {"type": "shot", "id": story.shots[0]["id"]}
    assert (asset["kind"], asset["role"], asset["take"], asset["selected"]) == ("image", "panel", 1, True)
    assert (asset["media"]["width"], asset["provider"], asset["costUusd"]) == (1280, "fake", 1_000)


async def test_assets_are_listed_by_owner_and_slot(world, story):
    await story.batch("panels", "voices")
    path = f"{BASE}/assets?projectId={story.project_id}"
    assert len((await world.get(path)).json["items"]) == 6
    shot = story.shots[0]["id"]
    of_slot = (await world.get(f"{path}&ownerId={shot}&slot=panel")).json["items"]
    assert [(a["owner"]["id"], a["slot"]) for a in of_slot] == [(shot, "panel")]
    assert len((await world.get(f"{path}&kind=audio")).json["items"]) == 3


async def test_asset_of_another_project_is_not_found(world, story):
    asset = await asset_of(world, story)
    for method, path in (("GET", ""), ("GET", "/file"), ("POST", "/select"), ("POST", "/score")):
        assert (await world.call(method, f"{BASE}/assets/{asset['id']}{path}", user="eve")).status == 404


async def test_viewer_sees_takes_and_changes_none(world, story):
    asset = await asset_of(world, story)
    path = f"{BASE}/assets/{asset['id']}"
    assert (await world.get(path, user="vic")).status == 200
    assert (await world.post(f"{path}/select", user="vic")).status == 403
    assert (await world.call("PATCH", path, {"rating": 3}, user="vic")).status == 403


async def test_select_brings_an_older_take_back(world, story):
    first = await asset_of(world, story)
    await story.generate(0)
    answer = await world.post(f"{BASE}/assets/{first['id']}/select")
    await story.read()
    assert answer.json["selected"] is True
    assert story.shots[0]["current"]["panel"] == first["id"]
    assert [a["selected"] for a in await story.assets(slot="panel")] == [True, False]


async def test_select_of_a_take_from_an_older_text_is_marked_stale(world, story):
    first = await asset_of(world, story)
    await story.edit_shot(0, description="Another place")
    await story.generate(0)
    assert await story.stale() == []
    await world.post(f"{BASE}/assets/{first['id']}/select")
    await story.read()
    assert "panel" in story.shots[0]["stale"]
    assert await story.stale() == [("panels", "panel")]


async def test_fifty_selects_have_one_effect(world, story):
    first = await asset_of(world, story)
    await story.generate(0)
    before = (await world.activities(story.project_id)).count("asset.selected")
    calls = [world.post(f"{BASE}/assets/{first['id']}/select") for _ in range(50)]
    answers = await asyncio.gather(*calls)
    await story.read()
    assert {answer.status for answer in answers} == {200}
    assert story.shots[0]["current"]["panel"] == first["id"]
    assert (await world.activities(story.project_id)).count("asset.selected") == before + 1


async def test_select_of_the_current_take_changes_nothing(world, story):
    asset = await asset_of(world, story)
    await world.post(f"{BASE}/assets/{asset['id']}/select")
    assert "asset.selected" not in await world.activities(story.project_id)


async def test_select_mends_a_lost_pointer(world, story):
    asset = await asset_of(world, story)
    await world.db["shots"].update(story.shots[0]["id"], {"$unset": {"current.panel": ""}})
    await world.post(f"{BASE}/assets/{asset['id']}/select")
    await story.read()
    assert story.shots[0]["current"]["panel"] == asset["id"]


async def test_select_of_a_rejected_take_is_refused(world, story):
    asset = await asset_of(world, story)
    await world.db["assets"].update(asset["id"], {"$set": {"state": "rejected"}})
    assert (await world.post(f"{BASE}/assets/{asset['id']}/select")).status == 409


async def test_music_take_can_be_chosen_again(world, story):
    from studio_asset_gen.takes import AssetStore

    await story.batch("music")
    await story.batch("music", only="all")
    first, second = await story.assets(kind="music")
    store = world.service(AssetStore)
    assert (await store.current("story", story.id, "music"))["_id"] == second["_id"]
    await world.post(f"{BASE}/assets/{first['_id']}/select")
    assert (await store.current("story", story.id, "music"))["_id"] == first["_id"]


async def test_favourite_is_per_user_and_rating_for_all(world, story):
    asset = await asset_of(world, story)
    world.auth.members[story.project_id]["bob"] = "artist"
    path = f"{BASE}/assets/{asset['id']}"
    await world.call("PATCH", path, {"favourite": True, "rating": 4, "tags": ["rain"]})
    await world.call("PATCH", path, {"favourite": True}, user="bob")
    answer = await world.call("PATCH", path, {"favourite": False})
    assert (answer.json["favouriteBy"], answer.json["rating"], answer.json["tags"]) == (["bob"], 4, ["rain"])


async def test_null_clears_the_tags_of_a_take(world, story):
    path = f"{BASE}/assets/{(await asset_of(world, story))['id']}"
    await world.call("PATCH", path, {"tags": ["rain"]})
    assert (await world.call("PATCH", path, {"tags": None})).json["tags"] == []


@pytest.mark.parametrize("body", [{}, {"rating": 9}, {"selected": True}, {"blob": {}}])
async def test_wrong_asset_update_is_refused(world, story, body):
    asset = await asset_of(world, story)
    assert (await world.call("PATCH", f"{BASE}/assets/{asset['id']}", body)).status == 422


async def test_file_is_immutable_under_its_fingerprint(world, story):
    asset = await asset_of(world, story)
    answer = await world.get(asset["url"])
    assert answer.status == 200
    assert answer.body.startswith(b"fake:")
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"].startswith("inline")


async def test_file_without_fingerprint_is_asked_again(world, story):
    asset = await asset_of(world, story)
    answer = await world.get(f"{BASE}/assets/{asset['id']}/file")
    assert answer.headers["Cache-Control"] == "private, no-cache"


async def test_file_under_a_foreign_fingerprint_is_not_found(world, story):
    asset = await asset_of(world, story)
    assert (await world.get(f"{BASE}/assets/{asset['id']}/file?v=00000000")).status == 404


async def test_file_answers_ranges(world, story):
    asset = await asset_of(world, story)
    answer = await world.get(asset["url"], headers={"Range": "bytes=0-4"})
    assert (answer.status, answer.body) == (206, b"fake:")
    assert answer.headers["Content-Range"].startswith("bytes 0-4/")


async def test_file_answers_304_to_its_etag(world, story):
    asset = await asset_of(world, story)
    etag = (await world.get(asset["url"])).headers["ETag"]
    assert (await world.get(asset["url"], headers={"If-None-Match": etag})).status == 304


async def test_file_of_an_unsafe_kind_is_an_attachment(world, story):
    asset = await asset_of(world, story)
    await world.db["assets"].update(asset["id"], {"$set": {"blob.mime": "image/svg+xml"}})
    answer = await world.get(asset["url"])
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_file_is_an_attachment_when_downloaded(world, story):
    asset = await asset_of(world, story)
    answer = await world.get(f"{asset['url']}&download=true")
    assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_new_picture_is_scored(world, story):
    asset = await asset_of(world, story)
    assert [score["scorer"] for score in asset["scores"]] == ["sharpness"]


async def test_voice_is_not_scored(world, story):
    asset = await asset_of(world, story, slot="voice")
    assert asset["scores"] == []


async def test_failed_scoring_never_fails_the_asset(world, story):
    world.fakes.broken_scores = True
    job = await story.generate(0)
    (asset,) = await story.assets()
    assert (job["state"], asset["scores"]) == ("succeeded", [])


async def test_score_can_be_asked_for_later(world, story):
    world.fakes.broken_scores = True
    asset = await asset_of(world, story)
    assert (await world.post(f"{BASE}/assets/{asset['id']}/score")).status == 502
    world.fakes.broken_scores = False
    answer = await world.post(f"{BASE}/assets/{asset['id']}/score")
    assert answer.json["scores"][0]["score"] == 0.5


async def test_score_of_a_voice_is_refused(world, story):
    asset = await asset_of(world, story, slot="voice")
    answer = await world.post(f"{BASE}/assets/{asset['id']}/score")
    assert (answer.status, answer.json["code"]) == (422, "not_an_image")


async def test_take_that_the_chain_rejects_is_kept_and_not_chosen(world, story, monkeypatch):
    async def reject(asset, **_):
        return asset | {"state": "rejected"}

    monkeypatch.setattr(world.services, "finalize", reject)
    await story.generate(0)
    (asset,) = await story.assets()
    assert (asset["state"], asset["selected"]) == ("rejected", False)
    assert "panel" not in story.shots[0]["current"]
