from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.http
TIMELINES = "/api/workbench/timelines"


async def make(world, story, **more):
    made = await world.post(TIMELINES, {"storyId": story.id, **more})
    assert made.status == 201, made
    return made.json


async def render(world, story, timeline, **body):
    made = await world.post(f"{TIMELINES}/{timeline['id']}/render", body)
    assert made.status == 202, made
    await world.settle()
    await story.read()
    return await world.services.jobs.get(made.json["jobId"])


async def rendered(world, story, **more):
    await story.batch("panels", "voices")
    timeline = await make(world, story, **more)
    job = await render(world, story, timeline)
    assert job["state"] == "succeeded", job
    return (await world.get(f"{TIMELINES}/{timeline['id']}")).json


async def test_timeline_holds_all_shots_in_film_order(world, story):
    timeline = await make(world, story)
    assert [shot["shotId"] for shot in timeline["shots"]] == [shot["id"] for shot in story.shots]


async def test_timeline_whose_request_broke_off_and_ran_again_is_one(world, story):
    headers = {"Idempotency-Key": f"t-{story.id}"}
    first = await world.post(TIMELINES, {"storyId": story.id}, headers=headers)
    broken_off = {"$unset": {"status": ""}, "$set": {"beat": -1}}  # before its answer was kept
    await world.db["idempotency_keys"].update({"status": {"$gt": 0}}, broken_off, many=True)
    again = await world.post(TIMELINES, {"storyId": story.id}, headers=headers)
    assert (first.status, again.status, again.json["id"]) == (201, 201, first.json["id"])


async def test_timeline_shots_follow_each_other_without_gap(world, story):
    shots = (await make(world, story))["shots"]
    assert [s["startMs"] for s in shots[1:]] == [s["startMs"] + s["durationMs"] for s in shots[:-1]]


async def test_timeline_of_one_scene_holds_its_shots_only(world, story):
    second = story.tree["scenes"][1]
    number = second["number"] or "2"
    timeline = await make(world, story, scenes=number)
    assert {shot["sceneId"] for shot in timeline["shots"]} == {second["id"]}


async def test_timeline_of_unknown_scene_is_refused(world, story):
    answer = await world.post(TIMELINES, {"storyId": story.id, "scenes": "9"})
    assert (answer.status, answer.json["code"]) == (422, "unknown_scene")


async def test_timeline_of_another_project_is_not_found(world, story):
    timeline = await make(world, story)
    answer = await world.get(f"{TIMELINES}/{timeline['id']}", user="eve")
    assert answer.status == 404


async def test_viewer_sees_a_timeline_and_makes_none(world, story):
    timeline = await make(world, story)
    assert (await world.get(f"{TIMELINES}/{timeline['id']}", user="vic")).status == 200
    assert (await world.post(TIMELINES, {"storyId": story.id}, user="vic")).status == 403


async def test_shot_stretches_to_its_voice(world, story):
    await story.edit_line(0, " ".join(["word"] * 20))
    await story.batch("voices")
    shot = (await make(world, story))["shots"][0]
    assert shot["lines"][0]["durationMs"] == 6000
    assert shot["durationMs"] > shot["lines"][0]["startMs"] + 6000


async def test_render_without_any_panel_names_what_to_generate(world, story):
    timeline = await make(world, story)
    answer = await world.post(f"{TIMELINES}/{timeline['id']}/render")
    assert (answer.status, answer.json["code"]) == (409, "no_panels")
    assert answer.json["retryWith"][0]["kinds"] == ["panels"]


async def test_render_without_shots_says_to_break_down(world, story):
    for shot in story.shots:
        await world.call("DELETE", f"/api/stories/shots/{shot['id']}")
    timeline = await make(world, story)
    answer = await world.post(f"{TIMELINES}/{timeline['id']}/render")
    assert (answer.status, answer.json["code"]) == (409, "no_shots")


async def test_render_tells_its_job_in_the_words_of_every_other_answer(world, story):
    await story.batch("panels")
    timeline = await make(world, story)
    job = (await world.post(f"{TIMELINES}/{timeline['id']}/render")).json["job"]
    assert set(job) == {"id", "kind", "state", "progress", "target", "batchId", "createdAt"}


async def test_render_stores_every_format(world, story):
    timeline = await rendered(world, story)
    assert sorted(timeline["outputs"]) == ["ass", "edl", "fcpxml", "mp4", "otio", "srt", "vtt"]
    assert timeline["renderAssetId"] == timeline["outputs"]["mp4"]


async def test_render_takes_are_animatic_assets_of_the_timeline(world, story):
    timeline = await rendered(world, story)
    kinds = {a["slot"]: (a["kind"], a["role"], a["take"]) for a in await story.assets(role="animatic")}
    assert kinds["mp4"] == ("video", "animatic", 1)
    assert kinds["srt"] == ("subtitle", "animatic", 1)
    assert {a["owner"]["id"] for a in await story.assets(role="animatic")} == {timeline["id"]}


async def test_second_render_is_the_next_take_of_each_format(world, story):
    timeline = await rendered(world, story)
    await render(world, story, timeline)
    takes = [a["take"] for a in await story.assets(role="animatic", slot="mp4")]
    assert takes == [1, 2]


async def test_render_sends_voices_with_word_times(world, story):
    await rendered(world, story)
    (request,) = world.fakes.of("FilmRequest")
    line = request.shots[0].lines[0]
    assert line.audio is not None
    assert [word.text for word in line.words] == ["Who", "is", "there?"]


async def test_line_without_voice_is_a_subtitle_only(world, story):
    await story.batch("panels")
    await render(world, story, await make(world, story))
    line = world.fakes.of("FilmRequest")[0].shots[0].lines[0]
    assert (line.audio, line.text) == (None, "Who is there?")
    assert line.duration_ms > 0


async def test_line_whose_voice_failed_does_not_stop_the_film(world, story):
    world.fakes.failing |= {"fakevoice", "spare"}
    await story.batch("panels", "voices")
    job = await render(world, story, await make(world, story))
    assert job["state"] == "succeeded"


async def test_shot_without_panel_shows_the_one_before(world, story):
    await story.generate(0)
    answer = await world.post(f"{TIMELINES}/{(await make(world, story))['id']}/render")
    await world.settle()
    assert len(answer.json["missingPanels"]) == 2
    assert len({shot.panel for shot in world.fakes.of("FilmRequest")[0].shots}) == 1


async def test_first_shots_without_panel_show_the_first_there_is(world, story):
    await story.generate(2)
    await render(world, story, await make(world, story))
    shots = world.fakes.of("FilmRequest")[0].shots
    assert shots[0].panel == shots[2].panel


async def test_render_uses_music_and_clips_that_are_there(world, story):
    await story.batch("panels")
    await story.batch("clips", "music")
    await render(world, story, await make(world, story))
    request = world.fakes.of("FilmRequest")[0]
    assert request.music is not None
    assert all(shot.clip for shot in request.shots)


async def test_render_takes_size_and_rate_of_the_project(world, story):
    await rendered(world, story)
    request = world.fakes.of("FilmRequest")[0]
    assert (request.width, request.height, request.fps) == (1280, 720, 24)


async def test_render_of_unchanged_timeline_under_way_is_the_same_job(world, story):
    await story.batch("panels")
    timeline = await make(world, story)
    world.fakes.hold = True
    first, second = [await world.post(f"{TIMELINES}/{timeline['id']}/render") for _ in range(2)]
    world.fakes.finish()
    await world.settle()
    assert first.json["jobId"] == second.json["jobId"]


async def test_render_can_leave_subtitles_out(world, story):
    await story.batch("panels")
    await render(world, story, await make(world, story), burnSubtitles=False)
    assert world.fakes.of("FilmRequest")[0].burn_subtitles is False


async def test_render_removes_its_work_folder(world, story):
    await rendered(world, story)
    folder = world.fakes.of("FilmRequest")[0].out_dir
    assert not folder.exists()


async def test_cancelled_render_that_succeeds_late_does_not_move_the_timeline(world, story):
    await story.batch("panels")
    timeline = await make(world, story)
    world.fakes.hold = True
    made = await world.post(f"{TIMELINES}/{timeline['id']}/render")
    await world.services.jobs.step(made.json["jobId"])
    await world.services.jobs.cancel(made.json["jobId"])
    world.fakes.finish()
    await world.settle()
    job = await world.services.jobs.get(made.json["jobId"])
    while "next_at" in job:
        await world.db["jobs"].update(job["_id"], {"$set": {"next_at": 0}})
        await world.services.jobs.step(job["_id"])
        job = await world.services.jobs.get(job["_id"])
    assert job["state"] == "cancelled"
    assert (await world.get(f"{TIMELINES}/{timeline['id']}")).json["renderAssetId"] is None
    assert all(not asset["selected"] for asset in await story.assets(role="animatic"))


async def test_older_render_that_ends_later_does_not_win(world, story):
    timeline = await rendered(world, story)
    film = next(s for k, (_, s) in world.services.provided.items() if k.__name__ == "FilmKind")
    job = {"_id": "0" * 26, "input": {"timeline_id": timeline["id"], "basis": "x", "content": "x"}}
    job["input"] |= dict.fromkeys(("width", "height", "fps", "music_asset_id", "shots"))
    await film._point(job, {"mp4": "old"}, {})
    assert (await world.get(f"{TIMELINES}/{timeline['id']}")).json["renderAssetId"] == timeline[
        "renderAssetId"
    ]


@pytest.mark.parametrize("wanted", ["mp4", "otio", "edl", "fcpxml", "srt", "vtt", "ass"])
async def test_export_answers_each_format_as_attachment(world, story, wanted):
    timeline = await rendered(world, story)
    answer = await world.get(f"{TIMELINES}/{timeline['id']}/export?format={wanted}")
    assert answer.status == 200, answer
    assert answer.body.startswith(f"{wanted} of ".encode())
    assert answer.headers["Content-Disposition"].endswith(f'.{wanted}"')
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("state", ["quarantined", "rejected", "pending"])
async def test_film_that_was_not_released_is_not_exported(world, story, state):
    timeline = await rendered(world, story)
    film = await world.db["assets"].find_one({"owner.id": timeline["id"], "slot": "mp4"})
    await world.db["assets"].update(film["_id"], {"$set": {"state": state}})  # as a step of the chain may say
    answer = await world.get(f"{TIMELINES}/{timeline['id']}/export?format=mp4")
    assert (answer.status, answer.json["code"]) == (404, "not_released")


async def test_export_before_render_says_how_to_render(world, story):
    timeline = await make(world, story)
    answer = await world.get(f"{TIMELINES}/{timeline['id']}/export?format=mp4")
    assert (answer.status, answer.json["code"]) == (409, "not_rendered")
    assert answer.json["retryWith"][0]["path"] == f"{TIMELINES}/{timeline['id']}/render"


async def test_export_of_stale_render_is_refused_unless_allowed(world, story):
    timeline = await rendered(world, story)
    await story.edit_line(0, "Who goes there?")
    path = f"{TIMELINES}/{timeline['id']}/export?format=srt"
    assert (await world.get(path)).json["code"] == "render_stale"
    assert (await world.get(f"{path}&allowStale=true")).status == 200


async def test_export_of_unknown_format_is_refused(world, story):
    timeline = await rendered(world, story)
    assert (await world.get(f"{TIMELINES}/{timeline['id']}/export?format=avi")).status == 422


async def test_export_of_a_format_that_the_rate_excludes_says_why(world, story):
    await world.db["projects"].update(story.project_id, {"$set": {"fps": 12}})
    timeline = await rendered(world, story)
    assert timeline["skipped"] == {"edl": "no time code at 12"}
    answer = await world.get(f"{TIMELINES}/{timeline['id']}/export?format=edl")
    assert (answer.status, answer.json["code"]) == (409, "format_unavailable")
    assert answer.json["detail"] == "no time code at 12"
    assert "otio" in answer.json["formats"]
    assert (await world.get(f"{TIMELINES}/{timeline['id']}/export?format=otio")).status == 200


async def test_export_is_not_for_strangers(world, story):
    timeline = await rendered(world, story)
    assert (await world.get(f"{TIMELINES}/{timeline['id']}/export?format=mp4", user="eve")).status == 404


async def test_stale_is_false_right_after_render(world, story):
    timeline = await rendered(world, story)
    answer = (await world.get(f"{TIMELINES}/{timeline['id']}/stale")).json
    assert answer == {"rendered": True, "stale": False, "shots": [], "other": []}


async def test_stale_names_the_changed_shot_only(world, story):
    timeline = await rendered(world, story)
    await story.edit_line(1, "Just me.")
    answer = (await world.get(f"{TIMELINES}/{timeline['id']}/stale")).json
    assert [(s["code"], s["change"]) for s in answer["shots"]] == [(story.shots[1]["code"], "changed")]


async def test_stale_names_a_removed_shot(world, story):
    timeline = await rendered(world, story)
    gone = story.shots[2]["id"]
    await world.call("DELETE", f"/api/stories/shots/{gone}")
    answer = (await world.get(f"{TIMELINES}/{timeline['id']}/stale")).json
    assert [(s["shotId"], s["change"]) for s in answer["shots"]] == [(gone, "removed")]


async def test_stale_names_new_music(world, story):
    timeline = await rendered(world, story)
    await story.batch("music")
    assert (await world.get(f"{TIMELINES}/{timeline['id']}/stale")).json["other"] == ["music"]


async def test_unrendered_timeline_is_stale(world, story):
    timeline = await make(world, story)
    answer = (await world.get(f"{TIMELINES}/{timeline['id']}/stale")).json
    assert (answer["rendered"], answer["stale"]) == (False, True)


async def test_edited_line_makes_only_its_voice_and_the_film_stale(world, story):
    await rendered(world, story)
    assert await story.stale() == []
    await story.edit_line(0, "Who goes there?")
    assert await story.stale() == [("voices", story.line_slot(0)), ("film", "mp4")]


async def test_render_after_an_edit_is_fresh_again(world, story):
    timeline = await rendered(world, story)
    await story.edit_line(0, "Who goes there?")
    await story.batch("voices")
    await render(world, story, timeline)
    assert await story.stale() == []


async def test_batch_of_stale_films_renders_them(world, story):
    timeline = await rendered(world, story)
    await story.edit_line(0, "Who goes there?")
    await story.batch("voices")
    answer = await story.batch("film", only="stale")
    assert answer["total"] == 1
    assert (await world.get(f"{TIMELINES}/{timeline['id']}/stale")).json["stale"] is False


async def test_timelines_are_listed_newest_first_and_by_story(world, story):
    first, second = await make(world, story), await make(world, story)
    listed = (await world.get(f"{TIMELINES}?projectId={story.project_id}&storyId={story.id}")).json["items"]
    assert [row["id"] for row in listed] == [second["id"], first["id"]]


async def test_deleted_timeline_is_gone_and_its_film_stays(world, story):
    timeline = await rendered(world, story)
    assert (await world.call("DELETE", f"{TIMELINES}/{timeline['id']}")).status == 204
    assert (await world.get(f"{TIMELINES}/{timeline['id']}")).status == 404
    assert await story.assets(role="animatic", slot="mp4")


async def test_dashboard_counts_shots_by_state(world, story):
    await story.generate(0)
    await story.batch("voices")
    board = (await world.get(f"/api/workbench/projects/{story.project_id}/dashboard")).json
    (row,) = board["stories"]
    assert row["states"] == {"voiced": 1, "planned": 2}
    assert (row["panels"], row["voices"], row["lines"]) == (1, 3, 3)
    assert [scene["shots"] for scene in row["scenes"]] == [2, 1]


async def test_dashboard_lists_active_jobs(world, story):
    world.fakes.hold = True
    made = await world.post("/api/assetGen/generate", {"target": story.target(0)})
    board = (await world.get(f"/api/workbench/projects/{story.project_id}/dashboard")).json
    world.fakes.finish()
    await world.settle()
    assert [job["id"] for job in board["activeJobs"]] == [made.json["job"]["id"]]


async def test_dashboard_lists_last_renders(world, story):
    timeline = await rendered(world, story)
    board = (await world.get(f"/api/workbench/projects/{story.project_id}/dashboard")).json
    assert [row["timelineId"] for row in board["renders"]] == [timeline["id"]]


async def test_dashboard_is_not_for_strangers(world, story):
    path = f"/api/workbench/projects/{story.project_id}/dashboard"
    assert (await world.get(path, user="eve")).status == 404


async def test_render_is_logged(world, story):
    await rendered(world, story)
    logged = await world.activities(story.project_id)
    assert "timeline.created" in logged
    assert "timeline.render_started" in logged


async def test_concurrent_renders_are_one_job(world, story):
    await story.batch("panels")
    timeline = await make(world, story)
    calls = [world.post(f"{TIMELINES}/{timeline['id']}/render") for _ in range(10)]
    answers = await asyncio.gather(*calls)
    await world.settle()
    assert len({answer.json["jobId"] for answer in answers}) == 1
