"""The chain of a new take: who is asked and in which order, what is released, and what survives a kill."""

from __future__ import annotations

import asyncio

import pytest

from studio import (
    ConfigError,
    ConflictError,
    DatabaseUnavailableError,
    Generation,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StorageFullError,
)
from studio_asset_gen.takes import AssetStore

pytestmark = pytest.mark.http
ASSETS = "/api/assetGen/assets"
FLAGGED = {"flags": [{"category": "violence", "score": 0.97}, {"category": "hate"}]}
PASSED = {"flags": []}


class KilledError(BaseException):
    """What kill -9 is to the code: nothing after it runs."""


async def test_takes_go_through_moderation_scores_and_previews_in_this_order(stage, story):
    job = await story.generate(0)
    (asset,) = await story.assets()
    assert job["state"] == "succeeded"
    assert stage.log == ["judge", "judge", "scorer", "thumbnailer"]
    prompt, image = stage.judge.asked
    assert (prompt.text, prompt.image) == (asset["basis"]["prompt"], None)
    assert (image.text, image.mime, image.image.read_bytes()[:5]) == (None, "image/png", b"fake:")
    assert (asset["moderation"]["state"], asset["moderation"]["by"]) == ("passed", ["judge"])
    assert (asset["state"], asset["selected"], asset["take"]) == ("ready", True, 1)
    assert asset["blurhash"]
    assert "finalizing" not in asset


async def test_off_means_that_nobody_is_asked(stage, story):
    stage.switch(enabled=False)
    await story.generate(0)
    assert stage.log == ["scorer", "thumbnailer"]


async def test_refused_picture_is_paid_for_kept_and_shown_to_nobody(stage, story, monkeypatch):
    told = []
    monkeypatch.setattr(
        stage.world.services.realtime, "publish_room", lambda room, event, data: told.append(event)
    )
    stage.judge.answers = [PASSED, FLAGGED]
    job = await story.generate(0)
    assert job["state"] == "failed"
    assert (job["error"]["code"], job["error"]["input"]) == ("moderation_refused", "image")
    assert "violence, hate" in job["error"]["message"]
    assert (job["cost_uusd"], job["attempt"]) == (1_000, 1)
    assert "scorer" not in stage.log
    assert "thumbnailer" not in stage.log
    (asset,) = await story.assets()
    assert (asset["state"], asset["selected"]) == ("rejected", False)
    assert asset["withheld"]["labels"] == ["violence", "hate"]
    assert "panel" not in story.shots[0]["current"]
    assert "asset.ready" not in told
    await nobody_sees(stage.world, story, asset["_id"])
    activities = await stage.world.activities(story.project_id)
    assert ("asset.withheld" in activities, "asset.generated" in activities) == (True, False)


async def nobody_sees(world, story, asset_id):
    assert await world.service(AssetStore).assets([asset_id]) == {}  # and nothing is drawn or cut from it
    for query in ("", "&kind=image", f"&ownerId={story.shots[0]['id']}&slot=panel"):
        assert (await world.get(f"{ASSETS}?projectId={story.project_id}{query}")).json["items"] == []
    for path in ("", "/file", "/thumbnail"):
        assert (await world.get(f"{ASSETS}/{asset_id}{path}")).status == 404
    assert (await world.call("PATCH", f"{ASSETS}/{asset_id}", {"rating": 5})).status == 404
    assert (await world.post(f"{ASSETS}/{asset_id}/score")).status == 404
    assert (await world.post(f"{ASSETS}/{asset_id}/select")).status == 409


async def test_refused_prompt_is_named_and_the_next_take_may_pass(stage, story):
    stage.judge.answers = [FLAGGED, PASSED]
    refused = await story.generate(0)
    assert refused["error"]["input"] == "prompt"
    again = await story.generate(0)
    assert again["state"] == "succeeded"
    assert [(one["state"], one["take"]) for one in await story.assets()] == [("rejected", 1), ("ready", 2)]


async def test_category_that_the_operator_allows_is_no_objection(stage, story):
    stage.switch(allowed=["violence", "hate"])
    stage.judge.answers = [FLAGGED, FLAGGED]
    assert (await story.generate(0))["state"] == "succeeded"
    stage.switch(allowed=["violence"])
    stage.judge.answers = [FLAGGED, PASSED]
    assert "hate" in (await story.generate(0))["error"]["message"]


async def test_each_provider_must_let_it_pass(stage, story):
    words = ["rain-soaked", "ink"]
    stage.switch(providers=["judge", "words"], words=words)
    job = await story.generate(0, overrides={"prompt": "A harbour in INK"})
    assert (job["error"]["code"], job["error"]["input"]) == ("moderation_refused", "prompt")
    assert "refused_word" in job["error"]["message"]
    assert "INK" not in job["error"]["message"]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([ProviderError("HTTP 500")] * 4, "HTTP 500"),
        ([ProviderRejectedError("The picture is too large.")], "too large"),
        ([ProviderUnavailableError("judge is off: set A_KEY")], "set A_KEY"),
        ([OutcomeUnknownError("no answer")], "no answer"),
        ([{"flagged": False}], "flags"),
        ([{"flags": [{"category": ""}]}], "category"),
        ([{"flags": None}], "flags"),
        ([RuntimeError("bug")] * 4, "RuntimeError"),
    ],
    ids=["error", "rejected", "no_key", "unknown", "shape", "nameless", "null", "bug"],
)
async def test_no_verdict_releases_nothing(stage, story, answers, told, monkeypatch):
    monkeypatch.setattr("studio_moderation.service.PAUSE_S", 0)
    stage.judge.answers = list(answers)
    job = await story.generate(0)
    assert (job["state"], job["error"]["code"]) == ("failed", "moderation_unavailable")
    assert told in job["error"]["message"]
    assert job["cost_uusd"] == 1_000
    (asset,) = await story.assets()
    assert (asset["state"], asset["selected"]) == ("quarantined", False)
    await nobody_sees(stage.world, story, asset["_id"])


async def test_judge_that_takes_too_long_releases_nothing(stage, story):
    stage.switch(deadline_s=0.05)
    stage.judge.answers = [lambda _: asyncio.sleep(60)]
    job = await story.generate(0)
    assert (job["state"], job["error"]["code"]) == ("failed", "moderation_unavailable")
    assert "0.05 s" in job["error"]["message"]


async def test_a_passing_error_is_asked_again(stage, story, monkeypatch):
    monkeypatch.setattr("studio_moderation.service.PAUSE_S", 0)
    stage.judge.answers = [ProviderError("HTTP 502")]
    assert (await story.generate(0))["state"] == "succeeded"
    assert stage.log.count("judge") == 3


@pytest.mark.parametrize("error", [DatabaseUnavailableError("away"), StorageFullError("no room")])
async def test_outage_of_our_own_decides_nothing_and_the_job_goes_on(stage, story, error):
    world = stage.world
    made = await world.post("/api/assetGen/generate", {"target": story.target(0)})
    job_id = made.json["job"]["id"]
    stage.judge.answers = [PASSED, error]
    await world.services.jobs.step(job_id)
    assert (await world.services.jobs.get(job_id))["state"] == "finalizing"
    assert await story.assets() == []
    await world.settle()
    assert (await world.services.jobs.get(job_id))["state"] == "succeeded"


async def test_refused_line_is_not_bought_again_in_another_voice(stage, story):
    stage.judge.answers = [FLAGGED]
    job = await story.generate(0, "voice")
    assert (job["error"]["code"], job["error"]["input"]) == ("moderation_refused", "text")
    await stage.world.settle()
    assert len(await stage.world.jobs(story.project_id)) == 1


async def test_frames_of_a_clip_are_judged(stage, story):
    await story.generate(0)
    stage.log.clear()
    stage.judge.asked.clear()
    stage.thumbnailer.asked.clear()
    stage.switch(frames=2)
    await story.generate(0, "clip")
    seen = [one.image.read_bytes() for one in stage.judge.asked if one.image]
    assert seen == [b"small at 0", b"small at 1000"]  # nobody knows how long the fake's clip is
    stage.thumbnailer.answers = [ProviderRejectedError("The video has no frame at 0 ms.")]
    failed = await story.generate(0, "clip")
    assert (failed["error"]["code"], failed["state"]) == ("moderation_unavailable", "failed")


@pytest.mark.parametrize(
    ("settings", "status", "told"),
    [
        ({}, 200, "asks judge"),
        ({"enabled": False}, 200, "off"),
        ({"providers": ["openai"]}, 503, "No provider 'openai' offers moderation"),
        ({"providers": ["judge", "nokey"]}, 503, "set A_KEY"),
    ],
)
async def test_platform_that_would_keep_every_take_back_is_not_ready(stage, settings, status, told):
    stage.switch(**settings)
    answer = await stage.world.get("/readyz")
    assert (answer.status, told in answer.json["checks"]["moderation"]["note"]) == (status, True), answer


async def test_platform_that_cannot_look_at_its_videos_is_not_ready(open_world, tmp_path):
    own = {"STUDIO_MODERATION__WORDS": '["ink"]', "STUDIO_MODERATION__PROVIDERS": "words"}
    own |= {"STUDIO_MODERATION__ENABLED": "true"}
    for kinds, status in (("image,video", 503), ("image", 200)):
        more = own | {"STUDIO_MODERATION__KINDS": kinds}
        async with open_world(tmp_path, plugins="moderation,previews", **more) as world:
            answer = await world.get("/readyz")
        note = answer.json["checks"]["moderation"]["note"]
        assert (answer.status, "offers thumbnail" in note) == (status, status == 503), answer


async def test_words_that_nobody_lists_end_the_start(open_world, tmp_path):
    own = {"STUDIO_MODERATION__ENABLED": "true", "STUDIO_MODERATION__PROVIDERS": "words"}
    with pytest.raises(ConfigError, match='name "words"'):
        async with open_world(tmp_path, plugins="moderation", **own):
            pytest.fail("it has started")


# ---------------------------------------------------------------- judged again


async def test_what_nobody_could_judge_is_judged_again_without_paying_again(stage, story):
    world = stage.world
    stage.judge.answers = [PASSED, ProviderUnavailableError("down")]
    job = await story.generate(0)
    path, requests = f"/api/assetGen/jobs/{job['_id']}/release", len(world.fakes.requests)
    assert (await world.post(path, user="vic")).status == 403
    assert (await world.post(path, user="eve")).status == 404
    stage.judge.answers = [PASSED, ProviderUnavailableError("still down")]
    still = await world.post(path)
    assert (still.status, still.json["code"]) == (502, "moderation_unavailable")
    assert [one["state"] for one in await story.assets()] == ["quarantined"]
    answer = await world.post(path)
    (take,) = answer.json["items"]
    assert (answer.status, take["state"], take["selected"], take["take"]) == (200, "ready", False, 1)
    assert take["blurhash"]
    (asset,) = await story.assets()
    assert ("withheld" in asset, "finalizing" in asset) == (False, False)
    assert len(world.fakes.requests) == requests
    activities = await world.activities(story.project_id)
    assert (activities.count("asset.released"), activities.count("asset.generated")) == (1, 0)
    assert (await world.get(take["url"])).status == 200
    assert (await world.post(f"{ASSETS}/{take['id']}/select")).json["selected"] is True
    assert (await world.post(path)).status == 409


async def test_refusal_stays_one_and_a_second_judgement_may_refuse(stage, story):
    stage.judge.answers = [FLAGGED]
    refused = await story.generate(0)
    assert (await stage.world.post(f"/api/assetGen/jobs/{refused['_id']}/release")).status == 409
    stage.judge.answers = [PASSED, {"nothing": 1}]
    unclear = await story.generate(0)
    stage.judge.answers = [PASSED, FLAGGED]
    answer = await stage.world.post(f"/api/assetGen/jobs/{unclear['_id']}/release")
    assert (answer.status, answer.json["code"], answer.json["input"]) == (422, "moderation_refused", "image")
    assert [one["state"] for one in await story.assets()] == ["rejected", "rejected"]


async def test_release_while_the_job_still_finishes_is_refused(stage, story):
    world = stage.world
    job_id = await killed(world, story, stage.thumbnailer)
    assert (await world.post(f"/api/assetGen/jobs/{job_id}/release")).status == 409
    await world.settle()


async def test_steps_that_were_done_before_a_refusal_are_not_repeated_at_a_release(stage, story):
    stage.thumbnailer.answers = [KilledError()]
    world = stage.world
    made = await world.post("/api/assetGen/generate", {"target": story.target(0)})
    job_id = made.json["job"]["id"]
    with pytest.raises(KilledError):
        await world.services.jobs.step(job_id)
    await world.db["jobs"].update(job_id, {"$set": {"state": "failed"}, "$unset": {"next_at": ""}})  # gave up
    stage.log.clear()
    answer = await world.post(f"/api/assetGen/jobs/{job_id}/release")
    assert (answer.status, stage.log) == (200, ["thumbnailer"])


# ---------------------------------------------------------------- a kill between two steps


async def killed(world, story, where):
    """Order a panel and let the process die where `where` (a fake) is asked; return the job's id."""
    made = await world.post("/api/assetGen/generate", {"target": story.target(0)})
    where.answers = [*where.answers, KilledError()]
    with pytest.raises(KilledError):
        await world.services.jobs.step(made.json["job"]["id"])
    return made.json["job"]["id"]


@pytest.mark.parametrize(
    ("dies", "again"),
    [("scorer", ["scorer", "thumbnailer"]), ("thumbnailer", ["thumbnailer"])],
)
async def test_steps_that_were_done_are_not_repeated_after_a_kill(stage, story, dies, again):
    world = stage.world
    job_id = await killed(world, story, getattr(stage, dies))
    (pending,) = await story.assets()
    assert (pending["state"], pending["finalizing"]["state"]) == ("pending", "ready")
    await nobody_sees(world, story, pending["_id"])
    stage.log.clear()
    await world.settle()
    assert stage.log == again
    assert (await world.services.jobs.get(job_id))["state"] == "succeeded"
    (asset,) = await story.assets()
    assert (asset["_id"], asset["state"], asset["selected"]) == (pending["_id"], "ready", True)
    assert (asset["scores"][0]["scorer"], asset["moderation"]["state"]) == ("sharpness", "passed")
    assert asset["blurhash"]
    assert "finalizing" not in asset
    await story.read()
    assert story.shots[0]["current"]["panel"] == asset["_id"]


async def test_kill_while_it_is_judged_asks_again_and_a_refusal_holds_after_it(stage, story):
    world = stage.world
    stage.judge.answers = [PASSED]
    job_id = await killed(world, story, stage.judge)
    assert await story.assets() == []
    stage.log.clear()
    stage.judge.answers = [PASSED, FLAGGED]
    await world.settle()
    job = await world.services.jobs.get(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "moderation_refused")
    assert stage.log == ["judge", "judge"]


async def test_kill_after_a_refusal_was_stored_does_not_ask_again(stage, story, monkeypatch):
    world = stage.world
    made = await world.post("/api/assetGen/generate", {"target": story.target(0)})
    job_id = made.json["job"]["id"]
    stage.judge.answers = [PASSED, FLAGGED]

    async def die(*_, **__):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(world.services.jobs._machine, "_fail", die)
        with pytest.raises(KilledError):
            await world.services.jobs.step(job_id)
    assert (await world.services.jobs.get(job_id))["state"] == "finalizing"
    stage.log.clear()
    await world.settle()
    job = await world.services.jobs.get(job_id)
    assert (job["error"]["code"], job["error"]["input"]) == ("moderation_refused", "image")
    assert stage.log == []


async def test_worker_that_was_overtaken_between_two_steps_writes_nothing_more(stage, story):
    world = stage.world
    job_id = await killed(world, story, stage.thumbnailer)
    job = await world.services.jobs.get(job_id)
    generation = Generation.model_validate(job["generation"])
    store = world.service(AssetStore)

    async def meanwhile(_request):
        await store.accept(job, generation, False)  # another worker, whose thumbnail is the usual one
        return stage.thumbnailer.usual | {"blurhash": "00TSUA"}

    stage.thumbnailer.answers = [meanwhile]
    with pytest.raises(ConflictError, match="Another worker"):
        await store.accept(job, generation, False)
    (asset,) = await story.assets()
    assert (asset["state"], asset["blurhash"]) == ("ready", stage.thumbnailer.usual["blurhash"])
