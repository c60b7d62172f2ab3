from __future__ import annotations

import pytest

pytestmark = pytest.mark.http
BASE = "/api/assetGen"


async def test_batch_makes_what_is_missing(world, story):
    answer = await story.batch("panels", "voices")
    assert answer["total"] == 6
    assert {job["batchId"] for job in answer["jobs"]} == {answer["batchId"]}
    assert all("panel" in shot["current"] for shot in story.shots)


async def test_second_batch_has_nothing_to_do(story):
    await story.batch("panels", "voices")
    answer = await story.batch("panels", "voices")
    assert (answer["total"], answer["jobs"]) == (0, [])


async def test_batch_makes_only_what_is_stale(world, story):
    await story.batch("panels", "voices")
    await story.edit_line(1, "Just me.")
    world.fakes.requests.clear()
    answer = await story.batch("panels", "voices")
    assert answer["total"] == 1
    assert [request.text for request in world.fakes.requests] == ["Just me."]


async def test_batch_of_all_makes_new_takes_with_new_seeds(world, story):
    await story.batch("panels")
    await story.batch("panels", only="all")
    assert [take["take"] for take in await story.assets()] == [1, 1, 1, 2, 2, 2]
    seeds = [request.seed for request in world.fakes.of("ImageRequest")]
    assert len(set(seeds)) == 6


async def test_batch_of_stale_only_leaves_what_is_missing(world, story):
    await story.generate(0)
    await story.edit_shot(0, description="A broken cup")
    answer = await story.batch("panels", only="stale")
    assert answer["total"] == 1


async def test_batch_names_what_is_blocked_and_why(story):
    await story.generate(0)
    answer = await story.batch("clips")
    assert answer["total"] == 1
    assert len(answer["blocked"]) == 2
    assert "panel" in answer["blocked"][0]["reason"]


async def test_batch_twice_at_once_orders_each_slot_once(world, story):
    world.fakes.hold = True
    body = {"storyId": story.id, "kinds": ["panels"]}
    first = await world.post(f"{BASE}/batch", body)
    second = await world.post(f"{BASE}/batch", body)
    world.fakes.finish()
    await world.settle()
    assert [job["id"] for job in first.json["jobs"]] == [job["id"] for job in second.json["jobs"]]
    assert len(await story.assets()) == 3


async def test_batch_of_unknown_kind_names_those_there_are(world, story):
    answer = await world.post(f"{BASE}/batch", {"storyId": story.id, "kinds": ["posters"]})
    assert answer.status == 422
    assert "panels" in answer.json["detail"]


async def test_batch_at_a_chosen_provider(world, story):
    answer = await story.batch("panels", providers={"panels": "unpriced"})
    assert {job["provider"] for job in answer["jobs"]} == {"unpriced"}


async def test_one_failing_job_does_not_stop_the_others(world, story):
    world.fakes.failing |= {"fakevoice", "spare"}
    await story.batch("panels", "voices")
    assert len(await story.assets(kind="image")) == 3
    assert await story.assets(kind="audio") == []


async def test_outage_of_one_medium_blocks_only_its_slots(world, story, monkeypatch):
    from studio import ProviderUnavailableError

    providers = world.services.providers
    original = providers.get

    def get(capability, *args, **choice):
        if capability == "voice":
            raise ProviderUnavailableError("no voice today")
        return original(capability, *args, **choice)

    monkeypatch.setattr(providers, "get", get)
    answer = await story.batch("panels", "voices")
    assert answer["total"] == 3
    assert {row["reason"] for row in answer["blocked"]} == {"no voice today"}
    assert len(answer["blocked"]) == 3


async def test_batch_of_another_project_is_not_found(world, story):
    answer = await world.post(f"{BASE}/batch", {"storyId": story.id}, user="eve")
    assert answer.status == 404


async def test_estimate_sums_per_kind_and_starts_nothing(world, story):
    answer = await world.post(f"{BASE}/estimate", {"storyId": story.id})
    assert answer.status == 200, answer
    assert (answer.json["jobs"], answer.json["totalUusd"]) == (6, 3 * 1_000 + 3 * 10)
    assert {item["kind"]: item["count"] for item in answer.json["items"]} == {"panels": 3, "voices": 3}
    assert await world.jobs(story.project_id) == []


async def test_estimate_at_an_unpriced_provider_is_unknown_not_free(world, story):
    body = {"storyId": story.id, "kinds": ["panels"], "providers": {"panels": "unpriced"}}
    assert (await world.post(f"{BASE}/estimate", body)).json["totalUusd"] is None


async def test_estimate_prices_the_alternatives(world, story):
    answer = await world.post(f"{BASE}/estimate", {"storyId": story.id})
    others = {item["provider"]: item["costUusd"] for item in answer.json["alternatives"]}
    assert others == {"unpriced": None, "spare": 30}


async def test_estimate_of_one_target(world, story):
    answer = await world.post(f"{BASE}/estimate", {"target": story.target(0), "n": 4})
    assert (answer.json["jobs"], answer.json["totalUusd"]) == (4, 4_000)


async def test_estimate_of_nothing_is_refused(world, story):
    assert (await world.post(f"{BASE}/estimate", {})).status == 422


async def test_estimate_is_what_the_jobs_are_held_at(world, story):
    price = (await world.post(f"{BASE}/estimate", {"storyId": story.id})).json["totalUusd"]
    answer = await story.batch("panels", "voices")
    assert sum(job["estimateUusd"] for job in answer["jobs"]) == price


async def test_stale_is_empty_for_fresh_takes(story):
    await story.batch("panels", "voices", "music")
    assert await story.stale() == []


async def test_stale_does_not_list_what_is_missing(story):
    assert await story.stale() == []


async def test_edited_line_makes_only_its_voice_stale(story):
    await story.batch("panels", "voices", "music")
    await story.edit_line(0, "Who goes there?")
    assert await story.stale() == [("voices", story.line_slot(0))]


async def test_edited_description_makes_panel_and_clip_stale(story):
    await story.batch("panels", "voices")
    await story.batch("clips")
    await story.edit_shot(1, description="A dark kitchen")
    assert await story.stale() == [("panels", "panel"), ("clips", "clip")]


async def test_new_panel_makes_the_clip_stale(story):
    await story.batch("panels")
    await story.batch("clips")
    await story.generate(0)
    assert await story.stale() == [("clips", "clip")]
    assert "clip" in story.shots[0]["stale"]


async def test_stale_list_equals_the_marks_of_the_story(story):
    await story.batch("panels", "voices")
    await story.batch("clips")
    await story.edit_shot(0, description="Rain on glass")
    await story.edit_line(2, "Open up.")
    listed = {slot for _, slot in await story.stale()}
    assert listed == {slot for shot in story.shots for slot in shot["stale"]}


async def test_stale_says_what_it_would_cost(world, story):
    await story.batch("panels", "voices")
    await story.edit_line(0, "Who goes there?")
    answer = (await world.get(f"{BASE}/stale?storyId={story.id}")).json
    assert (answer["total"], answer["estimate"]["totalUusd"]) == (1, 10)


async def test_other_style_of_the_project_makes_panels_stale(world, story):
    await story.batch("panels")
    await world.db["projects"].update(story.project_id, {"$set": {"style_prompt": "oil"}})
    assert await story.stale() == [("panels", "panel")] * 3


async def test_music_keeps_fitting_when_a_line_changes_and_not_when_the_mood_does(story):
    await story.batch("music")
    await story.edit_line(0, "A much longer line than before, so that the film is longer too.")
    assert await story.stale() == []
    for number in range(3):
        await story.edit_shot(number, mood="dark")
    assert await story.stale() == [("music", "music")]


async def test_another_plugins_kind_takes_part(world, story):
    from asset_gen_world import FakeImages  # noqa: F401 - the fakes stand under this name

    from studio_asset_gen.api import Plan, Slot
    from studio_asset_gen.takes import AssetStore

    class Posters:
        job, name, capability, media, role = "poster.draw", "posters", "image", "image", "poster"
        overrides = frozenset()

        async def slots(self, view):
            return [Slot("story", view.story["_id"], "poster", "Poster", "old", "inputs_changed")]

        async def plan(self, view, slot, wish):
            return Plan(slot, {"prompt": "poster", "basis": "x"})

        async def request(self, job):
            from studio import ImageRequest

            return ImageRequest(job_id=job["_id"], prompt=job["input"]["prompt"])

    store = world.service(AssetStore)
    store.join(Posters())
    try:
        assert ("posters", "poster") in await story.stale()
        body = {"storyId": story.id, "kinds": ["posters"]}
        assert (await world.post(f"{BASE}/estimate", body)).json["totalUusd"] == 1_000
        with pytest.raises(ValueError, match="declared already"):
            store.join(Posters())
    finally:
        del store.kinds["posters"]
