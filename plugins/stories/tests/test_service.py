from __future__ import annotations

import pytest

from studio import ConflictError, Generation, InvalidInputError, NotFoundError, ProviderUnavailableError
from studio_stories import service as service_module
from studio_stories.importer import parse_story
from studio_stories.jobs import KIND
from studio_stories.migrations import MIGRATIONS
from studio_stories.models import (
    CharacterUpdate,
    EntityCreate,
    Heading,
    Reorder,
    SceneCreate,
    SceneUpdate,
    ShotCreate,
    ShotUpdate,
    StoryUpdate,
)
from studio_stories.plugin import ACTIVITIES, Plugin

pytestmark = pytest.mark.memory


async def boarded(stage):
    """A story with two shots that have all their takes."""
    story = await stage.create()
    scene = (await stage.stories.scenes(story["_id"]))[0]
    cast = {c["name"]: c["_id"] for c in await stage.stories.characters(story["_id"])}
    maya, tom = cast["MAYA"], cast["TOM"]
    shots = []
    for who, text in ((maya, "Who is there?"), (tom, "Only me.")):
        lines = [{"character_id": who, "text": text}]
        new = ShotCreate(description="A cup", lines=lines, character_ids=[who])
        made = await stage.editing.create_shot(stage.actor, scene, new)
        for slot in ("panel", "clip", f"voice:{made['lines'][0]['id']}"):
            made = await stage.stories.set_current(made["_id"], slot, f"asset-{slot}")
        shots.append(made)
    return story, scene, shots, (maya, tom)


async def test_create_story_stores_scenes_cast_and_places(stage):
    story = await stage.create()
    tree = await stage.stories.tree(story)
    assert (story["title"], story["scene_count"], story["status"]) == ("Rain", 2, "draft")
    assert [scene["number"] for scene in tree["scenes"]] == ["1", "2"]
    assert [doc["name"] for doc in tree["characters"]] == ["MAYA", "TOM"]
    assert len(tree["scenes"][0]["character_ids"]) == 2
    assert [doc["name"] for doc in tree["locations"]] == ["GARDEN", "KITCHEN"]
    assert story["created_at"] > 0
    assert stage.activity.actions == ["story.created"]


async def test_large_story_takes_a_handful_of_writes(stage, monkeypatch):
    calls = []
    for name in ("stories", "story_versions", "scenes", "characters", "locations", "props", "shots"):
        repository = stage.database[name]
        for method in ("insert_many", "update", "find_and_update", "delete"):
            inner = getattr(repository, method)

            def counted(*args, _inner=inner, _name=f"{name}.{method}", **kwargs):
                calls.append(_name)
                return _inner(*args, **kwargs)

            monkeypatch.setattr(repository, method, counted)
    scene = "INT. ROOM {n} - DAY\n\nShe walks.\n\nMAYA\nHello {n}.\n\n"
    await stage.create("".join(scene.format(n=n) for n in range(120)))
    assert len(calls) <= 5  # and one insert of the story itself


async def test_bad_file_leaves_nothing_behind(stage):
    with pytest.raises(InvalidInputError):
        await stage.create("He waits.")
    assert await stage.database["scenes"].count({}) == 0


async def test_list_is_by_project_without_deleted(stage):
    first, second = await stage.create(), await stage.create()
    await stage.stories.delete_story(stage.actor, first)
    page = await stage.stories.list_stories("P1", cursor=None, limit=10)
    assert [doc["_id"] for doc in page.items] == [second["_id"]]
    assert (await stage.stories.list_stories("P2", cursor=None, limit=10)).items == []


async def test_deleted_story_hides_its_parts(stage):
    story = await stage.create()
    scene = (await stage.stories.scenes(story["_id"]))[0]
    await stage.stories.delete_story(stage.actor, story)
    with pytest.raises(NotFoundError):
        await stage.stories.story(story["_id"])
    with pytest.raises(NotFoundError):
        await stage.stories.part("scenes", scene["_id"])


async def test_update_story_counts_revisions(stage):
    story = await stage.create()
    updated = await stage.stories.update_story(stage.actor, story, StoryUpdate(title="New"), 1)
    assert (updated["title"], updated["rev"]) == ("New", 2)
    with pytest.raises(ConflictError) as caught:
        await stage.stories.update_story(stage.actor, updated, StoryUpdate(title="Old"), 1)
    assert caught.value.extra == {"rev": 2}


async def test_two_writers_of_one_revision_do_not_both_win(stage):
    story = await stage.create()
    await stage.stories.update_story(stage.actor, story, StoryUpdate(title="A"), None)
    with pytest.raises(ConflictError):
        await stage.stories.update_story(stage.actor, story, StoryUpdate(title="B"), None)


async def test_import_makes_a_version_and_keeps_unchanged_scenes(stage):
    story, scene, shots, _ = await boarded(stage)
    text = (await stage.stories.export(story, "fountain")).replace("Let me in.", "Open the door.")
    updated = await stage.stories.import_story(stage.actor, story, text.encode(), "b.fountain")
    tree = await stage.stories.tree(updated)
    assert (updated["version"], updated["settled"]) == (2, True)
    assert tree["scenes"][0]["_id"] == scene["_id"]
    assert [shot["current"] for shot in tree["shots"]] == [shot["current"] for shot in shots]
    assert tree["scenes"][1]["elements"][-1]["text"] == "Open the door."


async def test_restore_brings_back_scenes_and_takes(stage):
    story, _, shots, _ = await boarded(stage)
    updated = await stage.stories.import_story(stage.actor, story, b"INT. VOID\n\nNothing.", "b.fountain")
    assert (await stage.stories.tree(updated))["shots"] == []
    restored = await stage.stories.restore_version(stage.actor, updated, 1)
    tree = await stage.stories.tree(restored)
    assert (restored["version"], restored["scene_count"], restored["status"]) == (3, 2, "ready")
    assert [shot["_id"] for shot in tree["shots"]] == [shot["_id"] for shot in shots]
    versions = await stage.stories.list_versions(restored)
    assert [(v["version"], v["reason"], v["current"]) for v in versions] == [
        (3, "restored", True),
        (2, "imported", False),
        (1, "created", False),
    ]
    assert "Who is there?" in await stage.stories.script_text(restored)


async def test_restore_of_an_unknown_version_is_not_found(stage):
    story = await stage.create()
    with pytest.raises(NotFoundError, match="version 9"):
        await stage.stories.restore_version(stage.actor, story, 9)


async def test_old_versions_are_forgotten(stage):
    story = await stage.create()
    stage.stories.settings = stage.stories.settings.model_copy(update={"kept_versions": 2})
    for n in range(3):
        story = await stage.stories.import_story(
            stage.actor, story, f"INT. R{n}\n\nx y".encode(), "a.fountain"
        )
    assert [v["version"] for v in await stage.stories.list_versions(story)] == [4, 3]


async def test_version_whose_writer_died_is_finished_by_the_next_reader(stage, monkeypatch):
    story = await stage.create()

    async def die(*_):
        raise RuntimeError("killed")

    torn_insert = stage.stories._insert
    monkeypatch.setattr(stage.stories, "_insert", die)
    with pytest.raises(RuntimeError):
        await stage.stories.import_story(stage.actor, story, b"INT. ATTIC\n\nDust.", "b.fountain")
    monkeypatch.setattr(stage.stories, "_insert", torn_insert)
    torn = await stage.stories.story(story["_id"])
    with pytest.raises(ConflictError) as caught:
        await stage.stories.tree(torn)
    assert caught.value.code == "story_busy"
    monkeypatch.setattr(service_module, "SETTLE_AFTER_MS", -1)
    tree = await stage.stories.tree(torn)
    assert [scene["heading"]["location_name"] for scene in tree["scenes"]] == ["ATTIC"]
    assert (await stage.stories.story(story["_id"]))["settled"] is True


@pytest.mark.parametrize("kind", ["fountain", "fdx"])
async def test_export_reads_back_the_same(stage, kind):
    story = await stage.create()
    text = await stage.stories.export(story, kind)
    again = parse_story(text.encode(), f"a.{kind}", limit_bytes=100_000)
    assert [scene.heading for scene in again.scenes] == ["INT. KITCHEN - NIGHT", "EXT. GARDEN - CONTINUOUS"]
    assert [e.text for e in again.scenes[0].elements] == [
        "Maya drops a cup. Rain on the window.",
        "Who is there?",
        "Only me.",
    ]


async def test_edited_line_leaves_only_its_voice_stale_and_reaches_the_script(stage):
    story = await stage.create()
    job = await order(stage, story)
    await stage.breakdown.accept(job, answer(story), late=False)
    shot = (await stage.stories.shots(story["_id"]))[0]
    line = shot["lines"][0]
    voice = f"voice:{line['id']}"
    for slot in ("panel", voice):
        shot = await stage.stories.set_current(shot["_id"], slot, "A")
    edit = ShotUpdate(lines=[line | {"text": "Who knocks?"}])
    updated = await stage.editing.update_shot(stage.actor, shot, edit, None)
    assert set(updated["stale"]) == {voice}
    assert updated["lines"][0]["id"] == line["id"]
    assert "Who knocks?" in await stage.stories.export(await stage.stories.story(story["_id"]), "fountain")


async def test_edited_description_leaves_pictures_stale(stage):
    _, _, (shot, other), _ = await boarded(stage)
    updated = await stage.editing.update_shot(
        stage.actor, shot, ShotUpdate(description="A plate"), shot["rev"]
    )
    assert set(updated["stale"]) == {"panel", "clip"}
    assert (await stage.stories.shot(other["_id"]))["stale"] == {}


async def test_removed_line_takes_its_voice_with_it(stage):
    _, _, (shot, _), _ = await boarded(stage)
    updated = await stage.editing.update_shot(stage.actor, shot, ShotUpdate(lines=[]), None)
    assert set(updated["current"]) == {"panel", "clip"}


async def test_null_clears_a_place_and_nothing_else(stage):
    _, _, (shot, _), _ = await boarded(stage)
    updated = await stage.editing.update_shot(
        stage.actor, shot, ShotUpdate(location_id=None, angle=None), None
    )
    assert (updated["location_id"], updated["angle"]) == (None, "eye")


async def test_unknown_line_or_reference_is_refused(stage):
    _, _, (shot, _), _ = await boarded(stage)
    with pytest.raises(InvalidInputError, match="no line"):
        await stage.editing.update_shot(stage.actor, shot, ShotUpdate(lines=[{"id": "X", "text": "a"}]), None)
    with pytest.raises(InvalidInputError) as caught:
        await stage.editing.update_shot(stage.actor, shot, ShotUpdate(character_ids=["X"]), None)
    assert caught.value.extra == {"unknown": ["X"]}


async def test_new_take_clears_the_mark_and_late_one_gets_it(stage):
    _, _, (shot, _), _ = await boarded(stage)
    basis = stage.stories.basis(shot, "panel")
    await stage.editing.update_shot(stage.actor, shot, ShotUpdate(description="A plate"), None)
    late = await stage.stories.set_current(shot["_id"], "panel", "old", basis=basis)
    assert late["stale"]["panel"]["reason"] == "changed_while_generating"
    fresh = await stage.stories.set_current(
        shot["_id"], "panel", "new", basis=stage.stories.basis(late, "panel")
    )
    assert (fresh["current"]["panel"], set(fresh["stale"])) == ("new", {"clip"})


async def test_set_current_knows_its_slots(stage):
    _, _, (shot, _), _ = await boarded(stage)
    with pytest.raises(InvalidInputError, match="no slot"):
        await stage.stories.set_current(shot["_id"], "voice:other", "A")


async def test_clear_current_only_if_it_still_points_there(stage):
    _, _, (shot, _), _ = await boarded(stage)
    assert not await stage.stories.clear_current(shot["_id"], "panel", "another")
    assert await stage.stories.clear_current(shot["_id"], "panel", "asset-panel")


async def test_scene_heading_leaves_its_pictures_stale(stage):
    _, scene, (shot, _), _ = await boarded(stage)
    edit = SceneUpdate(heading=Heading(int_ext="EXT", location_name="Roof", time_of_day="day"))
    updated = await stage.editing.update_scene(stage.actor, scene, edit, 1)
    assert updated["heading"]["text"] == "EXT. ROOF - DAY"
    stored = await stage.stories.shot(shot["_id"])
    assert (set(stored["stale"]), stored["location_id"]) == ({"panel", "clip"}, updated["location_id"])


async def test_scenes_and_shots_move_with_one_write(stage):
    story, scene, (first, second), _ = await boarded(stage)
    await stage.editing.reorder_shot(stage.actor, second, Reorder(after_id=None))
    assert [s["_id"] for s in await stage.stories.shots(story["_id"])] == [second["_id"], first["_id"]]
    other = (await stage.stories.scenes(story["_id"]))[1]
    await stage.editing.reorder_scene(stage.actor, other, Reorder(after_id=None))
    assert [s["_id"] for s in await stage.stories.scenes(story["_id"])] == [other["_id"], scene["_id"]]


async def test_equal_places_are_spread_before_a_move(stage):
    story, scene, (first, second), _ = await boarded(stage)
    await stage.database["shots"].update({"story_id": story["_id"]}, {"$set": {"order": "V"}}, many=True)
    new = await stage.editing.create_shot(stage.actor, scene, ShotCreate(after_id=first["_id"]))
    found = [shot["_id"] for shot in await stage.stories.shots(story["_id"])]
    assert found == [first["_id"], new["_id"], second["_id"]]


async def test_scene_is_created_with_number_and_deleted_with_shots(stage):
    story, scene, _, _ = await boarded(stage)
    new = SceneCreate(heading=Heading(location_name="kitchen"), after_id=scene["_id"])
    made = await stage.editing.create_scene(stage.actor, story, new)
    assert (made["number"], made["location_id"]) == ("3", scene["location_id"])
    assert [s["number"] for s in await stage.stories.scenes(story["_id"])] == ["1", "3", "2"]
    await stage.editing.delete_scene(stage.actor, scene)
    assert await stage.stories.shots(story["_id"]) == []
    assert (await stage.stories.story(story["_id"]))["scene_count"] == 2


async def test_character_name_is_taken_once_in_whatever_case(stage):
    story = await stage.create()
    with pytest.raises(ConflictError):
        await stage.cast.create_entity("characters", stage.actor, story, EntityCreate(name="maya"))


async def test_character_voice_leaves_its_voices_stale_and_colour_its_pictures(stage):
    _, _, (hers, his), (maya, _) = await boarded(stage)
    doc = await stage.stories.part("characters", maya)
    doc = await stage.cast.update_entity(
        "characters", stage.actor, doc, CharacterUpdate(voice_setting_id="V"), 1
    )
    assert set((await stage.stories.shot(hers["_id"]))["stale"]) == {f"voice:{hers['lines'][0]['id']}"}
    await stage.cast.update_entity("characters", stage.actor, doc, CharacterUpdate(colour="#010203"), None)
    assert len((await stage.stories.shot(hers["_id"]))["stale"]) == 3
    assert (await stage.stories.shot(his["_id"]))["stale"] == {}


async def test_renamed_character_speaks_under_the_new_name(stage):
    story, _, _, (maya, _) = await boarded(stage)
    doc = await stage.stories.part("characters", maya)
    await stage.cast.update_entity("characters", stage.actor, doc, CharacterUpdate(name="ANNA"), None)
    assert "ANNA\nWho is there?" in await stage.stories.export(story, "fountain")


async def test_deleted_character_leaves_its_lines_to_the_narrator(stage):
    _, _, (hers, _), (maya, _) = await boarded(stage)
    await stage.cast.delete_entity("characters", stage.actor, await stage.stories.part("characters", maya))
    shot = await stage.stories.shot(hers["_id"])
    assert (shot["character_ids"], shot["lines"][0]["character_id"]) == ([], None)


async def test_brief_says_what_a_panel_shows(stage):
    _, _, (shot, _), (maya, _) = await boarded(stage)
    found = await stage.stories.brief(shot)
    character = await stage.stories.part("characters", maya)
    assert (found.brief.location, found.brief.time_of_day, found.brief.int_ext) == ("KITCHEN", "NIGHT", "INT")
    assert [(c.name, c.colour) for c in found.brief.characters] == [("MAYA", character["colour"])]
    assert "A cup" in found.prompt
    assert found.basis == stage.stories.basis(shot, "panel")


async def order(stage, story):
    await stage.breakdown.start(stage.actor, story, None, None)
    placed = stage.jobs.orders[-1]
    return {
        "_id": "JOB1",
        "user_id": "U1",
        "project_id": "P1",
        "input": placed.input,
        "kind": KIND,
        "model": None,
    }


def answer(story):
    shots = [
        {"scene": 0, "code": "1A", "description": "Maya turns.", "shot_size": "MS", "duration_ms": 2_000}
        | {"characters": ["MAYA"], "lines": [{"text": "Who is there?", "character": "MAYA"}]},
        {"scene": 1, "code": "2A", "description": "Tom knocks.", "shot_size": "LS", "duration_ms": 3_000},
    ]
    return Generation(provider_job_id="X", state="succeeded", data={"breakdown": {"shots": shots}})


async def test_breakdown_request_holds_the_script_with_line_ids(stage):
    story = await stage.create()
    job = await order(stage, story)
    request = await stage.breakdown.request(job)
    assert [scene.time_of_day for scene in request.scenes] == ["NIGHT", "NIGHT"]
    elements = (await stage.stories.scenes(story["_id"]))[0]["elements"]
    assert [e.id for e in request.scenes[0].elements] == [e["id"] for e in elements]
    assert (await stage.stories.story(story["_id"]))["status"] == "breakdown"


async def test_breakdown_result_becomes_shots_once(stage):
    story = await stage.create()
    job = await order(stage, story)
    for _ in range(2):
        fields = await stage.breakdown.accept(job, answer(story), late=False)
    updated = await stage.stories.story(story["_id"])
    tree = await stage.stories.tree(updated)
    assert (updated["status"], updated["version"]) == ("ready", 2)
    assert [shot["code"] for shot in tree["shots"]] == ["1A", "2A"]
    assert [shot["status"] for shot in tree["shots"]] == ["planned", "planned"]
    assert fields["result"] == {"applied": True, "shots": 2}
    assert stage.activity.actions.count("story.breakdown_finished") == 1


async def test_late_breakdown_stays_on_the_job(stage):
    story = await stage.create()
    fields = await stage.breakdown.accept(await order(stage, story), answer(story), late=True)
    assert fields["result"]["applied"] is False
    assert len(fields["result"]["breakdown"]["shots"]) == 2
    assert (await stage.stories.story(story["_id"]))["status"] == "draft"


async def test_breakdown_of_another_script_is_not_applied(stage):
    story = await stage.create()
    job = await order(stage, story)
    current = await stage.stories.story(story["_id"])
    await stage.stories.import_story(stage.actor, current, b"INT. VOID\n\nNothing.", "b.fountain")
    assert (await stage.breakdown.accept(job, answer(story), late=False))["result"]["applied"] is False
    with pytest.raises(ConflictError, match="changed"):
        await stage.breakdown.request(job)


async def test_refused_order_puts_the_status_back(stage):
    story = await stage.create()
    stage.jobs.error = ProviderUnavailableError("No provider of breakdown is on.")
    with pytest.raises(ProviderUnavailableError):
        await stage.breakdown.start(stage.actor, story, None, None)
    assert (await stage.stories.story(story["_id"]))["status"] == "draft"


async def test_failed_job_puts_the_status_back(stage):
    story = await stage.create()
    job = await order(stage, story)
    stage.ctx.provide(type(stage.breakdown), stage.breakdown)
    await Plugin().job_changed(stage.ctx, job | {"state": "claimed"})
    assert (await stage.stories.story(story["_id"]))["status"] == "breakdown"
    await Plugin().job_changed(stage.ctx, job | {"state": "failed"})
    assert (await stage.stories.story(story["_id"]))["status"] == "draft"


async def test_estimate_starts_nothing(stage):
    story = await stage.create()
    found = await stage.breakdown.estimate(story, None, None)
    assert found == {"scenes": 2, "estimate_uusd": 200, "note": "per scene"}
    assert stage.jobs.orders == []


async def test_every_logged_activity_is_declared(stage):
    _, scene, (shot, _), (maya, _) = await boarded(stage)
    await stage.editing.update_scene(stage.actor, scene, SceneUpdate(synopsis="x"), None)
    await stage.editing.delete_shot(stage.actor, shot)
    await stage.cast.delete_entity("characters", stage.actor, await stage.stories.part("characters", maya))
    assert set(stage.activity.actions) <= {activity.code for activity in ACTIVITIES}
    for action, entry in stage.activity.entries:
        label = next(activity.label for activity in ACTIVITIES if activity.code == action)
        assert label.format(**entry["params"])


async def test_migration_moves_scripts_and_counts_words(stage):
    old = {
        "_id": "S1",
        "project_id": "P1",
        "title": "x",
        "version": 1,
        "script_text": "INT. ROOM\n\nTwo words.",
    }
    await stage.database["stories"].insert(old)
    for _ in range(2):
        await MIGRATIONS[0].apply(stage.database)
    story = await stage.database["stories"].get("S1")
    assert (story["word_count"], "script_text" in story) == (4, False)
    assert (await stage.database["story_versions"].get("S1:1"))["script_text"] == old["script_text"]
