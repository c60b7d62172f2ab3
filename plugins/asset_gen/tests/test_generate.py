from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.http
BASE = "/api/assetGen"


async def test_panel_is_generated_and_becomes_current(story):
    job = await story.generate(0)
    assert job["state"] == "succeeded", job
    assert story.shots[0]["current"]["panel"] == job["result_asset_ids"][0]


async def test_panel_request_carries_brief_style_and_size(world, story):
    await story.generate(0)
    (request,) = world.fakes.of("ImageRequest")
    assert (request.width, request.height) == (1280, 720)
    assert request.prompt.endswith("ink")
    assert request.brief.code == story.shots[0]["code"]
    assert [one.name.upper() for one in request.brief.characters] == ["MAYA"]


async def test_panel_prompt_and_seed_can_be_overridden(world, story):
    await story.generate(0, overrides={"prompt": "a red door", "seed": 7, "negative": "blue"})
    (request,) = world.fakes.of("ImageRequest")
    assert (request.prompt, request.seed, request.negative) == ("a red door. ink", 7, "blue")


async def test_reference_pictures_of_the_cast_are_carried_into_the_shot(world, story):
    ref = (await story.generate(2))["result_asset_ids"][0]
    maya = story.shots[0]["characterIds"][0]
    done = await world.call("PATCH", f"/api/stories/characters/{maya}", {"refAssetIds": [ref]})
    assert done.status == 200, done
    await story.generate(0)
    assert len(world.fakes.of("ImageRequest")[-1].references) == 1


async def test_every_new_take_of_a_slot_has_another_seed(world, story):
    await story.generate(0, n=2)
    await story.generate(0)
    seeds = [request.seed for request in world.fakes.of("ImageRequest")]
    assert len(set(seeds)) == 3


async def test_takes_count_up_and_the_last_is_current(story):
    for _ in range(3):
        job = await story.generate(0)
    takes = await story.assets(slot="panel")
    assert [take["take"] for take in takes] == [1, 2, 3]
    assert [take["selected"] for take in takes] == [False, False, True]
    assert story.shots[0]["current"]["panel"] == job["result_asset_ids"][0]


async def test_several_takes_come_as_several_jobs(world, story):
    made = await world.post(f"{BASE}/generate", {"target": story.target(0), "n": 3})
    await world.settle()
    assert len(made.json["jobs"]) == 3
    assert made.json["job"] == made.json["jobs"][0]


async def test_same_order_sent_twice_at_once_is_one_job(world, story):
    world.fakes.hold = True
    body = {"target": story.target(0)}
    answers = await asyncio.gather(*(world.post(f"{BASE}/generate", body) for _ in range(10)))
    world.fakes.finish()
    await world.settle()
    assert len({answer.json["job"]["id"] for answer in answers}) == 1


async def test_repeated_idempotency_key_gives_the_same_job(world, story):
    body, headers = {"target": story.target(0)}, {"Idempotency-Key": f"k-{story.id}"}
    first = await world.post(f"{BASE}/generate", body, headers=headers)
    await world.settle()
    second = await world.post(f"{BASE}/generate", body, headers=headers)
    assert first.json["job"]["id"] == second.json["job"]["id"]


async def test_key_that_met_a_running_job_gives_that_job_for_ever(world, story):
    world.fakes.hold = True
    body, headers = {"target": story.target(0)}, {"Idempotency-Key": f"m-{story.id}"}
    first = await world.post(f"{BASE}/generate", body)
    met = await world.post(f"{BASE}/generate", body, headers=headers)
    world.fakes.finish()
    await world.settle()
    broken_off = {"$unset": {"status": ""}, "$set": {"beat": -1}}  # before its answer was kept
    await world.db["idempotency_keys"].update({"status": {"$gt": 0}}, broken_off, many=True)
    again = await world.post(f"{BASE}/generate", body, headers=headers)
    assert first.json["job"]["id"] == met.json["job"]["id"] == again.json["job"]["id"]


async def test_unknown_slot_is_refused_with_those_there_are(world, story):
    answer = await world.post(f"{BASE}/generate", {"target": story.target(0, "poster")})
    assert (answer.status, answer.json["code"]) == (422, "unknown_slot")
    assert "panel" in answer.json["slots"]


async def test_unknown_shot_is_not_found(world, story):
    target = story.target(0) | {"id": "nothing"}
    assert (await world.post(f"{BASE}/generate", {"target": target})).status == 404


async def test_kind_that_does_not_make_the_slot_is_refused(world, story):
    answer = await world.post(f"{BASE}/generate", {"target": story.target(0), "kind": "video.generate"})
    assert answer.status == 422
    assert "image.generate" in answer.json["detail"]


async def test_override_that_the_kind_does_not_read_is_refused(world, story):
    answer = await world.post(f"{BASE}/generate", {"target": story.target(0), "overrides": {"rate": 200}})
    assert answer.status == 422
    assert "rate" in answer.json["detail"]


async def test_unknown_provider_is_refused_by_name(world, story):
    answer = await world.post(f"{BASE}/generate", {"target": story.target(0), "provider": "dalle"})
    assert answer.status == 422
    assert "fake" in answer.json["detail"]


@pytest.mark.parametrize("extra", [{"baseUrl": "http://127.0.0.1:9"}, {"projectId": {"$ne": None}}, {"n": 0}])
async def test_foreign_fields_and_wrong_values_are_refused(world, story, extra):
    assert (await world.post(f"{BASE}/generate", {"target": story.target(0), **extra})).status == 422


async def test_viewer_may_not_generate_and_stranger_does_not_see(world, story):
    body = {"target": story.target(0)}
    assert (await world.post(f"{BASE}/generate", body, user="vic")).status == 403
    assert (await world.post(f"{BASE}/generate", body, user="eve")).status == 404
    assert (await world.post(f"{BASE}/generate", body, user="")).status == 401


async def test_voice_carries_text_and_word_times(world, story):
    job = await story.generate(0, "voice")
    (asset,) = await story.assets(kind="audio")
    assert world.fakes.of("VoiceRequest")[0].text == "Who is there?"
    assert [word["text"] for word in asset["media"]["words"]] == ["Who", "is", "there?"]
    assert asset["_id"] == job["result_asset_ids"][0]


async def test_clip_before_its_panel_says_to_generate_the_panel(world, story):
    answer = await world.post(f"{BASE}/generate", {"target": story.target(0, "clip")})
    assert (answer.status, answer.json["code"]) == (409, "panel_missing")


async def test_clip_animates_the_current_panel(world, story):
    panel = (await story.generate(0))["result_asset_ids"][0]
    await story.generate(0, "clip")
    (request,) = world.fakes.of("VideoRequest")
    (asset,) = await story.assets(kind="video")
    assert request.image.exists()
    assert (asset["basis"]["panel_id"], request.duration_ms) == (panel, 2000)


async def test_music_belongs_to_the_story(world, story):
    target = {"type": "story", "id": story.id, "slot": "music"}
    made = await world.post(f"{BASE}/generate", {"target": target, "overrides": {"mood": "tense"}})
    await world.settle()
    (asset,) = await story.assets(kind="music")
    assert made.status == 202
    assert asset["owner"] == {"type": "story", "id": story.id}
    assert world.fakes.of("MusicRequest")[0].mood == "tense"


async def test_failed_job_leaves_no_take(world, story):
    world.fakes.failing.add("fake")
    job = await story.generate(0)
    assert job["state"] == "failed"
    assert await story.assets() == []
    assert "panel" not in story.shots[0]["current"]


async def test_edit_while_generating_marks_the_new_take_stale(world, story):
    world.fakes.hold = True
    made = await world.post(f"{BASE}/generate", {"target": story.target(0)})
    await world.services.jobs.step(made.json["job"]["id"])
    await story.edit_shot(0, description="Something else entirely")
    world.fakes.finish()
    await world.settle()
    await story.read()
    assert "panel" in story.shots[0]["stale"]
    assert await story.stale() == [("panels", "panel")]


async def test_line_removed_while_its_voice_is_made_keeps_an_unselected_take(world, story):
    world.fakes.hold = True
    made = await world.post(f"{BASE}/generate", {"target": story.target(0, "voice")})
    await world.services.jobs.step(made.json["job"]["id"])
    await story.edit_shot(0, lines=[])
    world.fakes.finish()
    await world.settle()
    job = await world.services.jobs.get(made.json["job"]["id"])
    (asset,) = await story.assets()
    assert (job["state"], asset["selected"]) == ("succeeded", False)


async def test_late_success_of_a_cancelled_job_is_an_unselected_take(world, story):
    world.fakes.hold = True
    made = await world.post(f"{BASE}/generate", {"target": story.target(0)})
    job_id = made.json["job"]["id"]
    await world.services.jobs.step(job_id)
    cancelled = await world.post(f"{BASE}/jobs/{job_id}/cancel")
    assert cancelled.status == 200
    world.fakes.finish()
    await world.settle()
    job = await world.services.jobs.get(job_id)
    while "next_at" in job:
        await world.db["jobs"].update(job_id, {"$set": {"next_at": 0}})
        await world.services.jobs.step(job_id)
        job = await world.services.jobs.get(job_id)
    (asset,) = await story.assets()
    assert (job["state"], asset["selected"]) == ("cancelled", False)
    await story.read()
    assert "panel" not in story.shots[0]["current"]
    assert "asset.late" in await world.activities(story.project_id)


async def test_writes_per_generated_take_are_two(world, story):
    world.fakes.hold = True
    made = await world.post(f"{BASE}/generate", {"target": story.target(0)})
    await world.services.jobs.step(made.json["job"]["id"])
    counts = dict.fromkeys(("assets", "shots"), 0)
    for name in counts:
        repository = world.db[name]
        for method in ("insert", "update", "find_and_update"):
            original = getattr(repository, method)

            async def counted(*args, _original=original, _name=name, **kwargs):
                counts[_name] += 1
                return await _original(*args, **kwargs)

            setattr(repository, method, counted)
    try:
        world.fakes.finish()
        await world.settle()
    finally:
        for name in counts:
            for method in ("insert", "update", "find_and_update"):
                delattr(world.db[name], method)
    assert counts == {"assets": 1, "shots": 1}


async def test_generation_is_logged(world, story):
    await story.generate(0)
    logged = await world.activities(story.project_id)
    assert logged[-2:] == ["generation.started", "asset.generated"]


async def test_order_repeated_after_a_crash_is_the_first_one(world, story):
    """The kernel runs a request again under the same `once` when its first run broke off."""
    from studio import Actor
    from studio_asset_gen.models import GenerateRequest
    from studio_asset_gen.service import AssetGenService

    service = world.service(AssetGenService)
    body = GenerateRequest.model_validate({"target": story.target(0)})
    first = await service.generate(Actor("ann"), body, once=f"once-{story.id}")
    await world.settle()
    second = await service.generate(Actor("ann"), body, once=f"once-{story.id}")
    assert second["job"]["_id"] == first["job"]["_id"]
    assert len(await story.assets()) == 1
