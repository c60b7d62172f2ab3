from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from studio_asset_gen.events import JobEvents

pytestmark = pytest.mark.http
BASE = "/api/assetGen"
SETTINGS = f"{BASE}/voice-settings"


async def settings_of(world, story):
    rows = (await world.get(f"{SETTINGS}?storyId={story.id}")).json["items"]
    return {row["name"].upper(): row for row in rows}


async def put(world, story, name, **body):
    row = (await settings_of(world, story))[name]
    return await world.call("PUT", SETTINGS, {"storyId": story.id, "characterId": row["characterId"], **body})


async def test_voices_are_listed_with_their_provider(world):
    items = (await world.get(f"{BASE}/voices")).json["items"]
    assert len(items) == 5
    assert {voice["provider"] for voice in items} == {"fakevoice"}


async def test_voices_are_filtered_by_language_and_provider(world):
    items = (await world.get(f"{BASE}/voices?language=de&provider=spare")).json["items"]
    assert [voice["id"] for voice in items] == ["spare-hans"]


async def test_settings_name_every_character_before_they_have_a_voice(world, story):
    rows = await settings_of(world, story)
    assert set(rows) == {"MAYA", "TOM", "NARRATOR"}
    assert not any(row["assigned"] for row in rows.values())


async def test_each_character_gets_a_voice_of_its_own(world, story):
    await story.batch("voices")
    rows = await settings_of(world, story)
    assert rows["MAYA"]["voice"] != rows["TOM"]["voice"]
    assert rows["MAYA"]["assigned"]
    assert not rows["NARRATOR"]["assigned"]


async def test_assigned_voice_speaks_the_storys_language(world, story):
    await story.batch("voices")
    assert all("hans" not in request.voice for request in world.fakes.of("VoiceRequest"))


async def test_all_lines_of_a_character_have_one_voice(world, story):
    await story.batch("voices")
    spoken = {request.text: request.voice for request in world.fakes.of("VoiceRequest")}
    assert spoken["Only me."] == spoken["Let me in."] != spoken["Who is there?"]


async def test_assigned_voice_is_stable(world, story):
    await story.batch("voices")
    before = await settings_of(world, story)
    await story.batch("voices", only="all")
    assert await settings_of(world, story) == before


async def test_same_names_get_the_same_voices_in_another_project(world, story):
    await story.batch("voices")
    other = await world.story()
    await other.batch("voices")
    mine, theirs = await settings_of(world, story), await settings_of(world, other)
    assert mine["MAYA"]["voice"] == theirs["MAYA"]["voice"]


async def test_concurrent_first_needs_assign_each_voice_once(world, story):
    bodies = [{"target": story.target(n, "voice")} for n in (0, 1, 2) * 5]
    answers = await asyncio.gather(*(world.post(f"{BASE}/generate", body) for body in bodies))
    await world.settle()
    assert {answer.status for answer in answers} == {202}
    rows = await world.db["voice_settings"].find({"project_id": story.project_id})
    assert len(rows) == len({row["voice"] for row in rows}) == 2


async def test_more_characters_than_voices_share_evenly(world, story):
    from studio_asset_gen.api import StoryView
    from studio_asset_gen.voices import VoiceService

    cast = {f"{story.id}-{n}": {"_id": f"{story.id}-{n}", "name": f"Name {n}"} for n in range(8)}
    view = StoryView({"_id": story.project_id}, {"language": "en"}, [], [], cast)
    found = await world.service(VoiceService).ensure(view, list(cast))
    voices = [setting["voice"] for setting in found.values()]
    assert sorted(voices.count(voice) for voice in set(voices)) == [2, 2, 2, 2]


async def test_put_sets_voice_by_id_or_name(world, story):
    answer = await put(world, story, "MAYA", voice="Clara", rate=120, pitch=70)
    assert answer.status == 200, answer
    assert (answer.json["voice"], answer.json["rate"], answer.json["auto"]) == ("fakevoice-clara", 120, False)
    await story.generate(0, "voice")
    request = world.fakes.of("VoiceRequest")[-1]
    assert (request.voice, request.rate, request.pitch) == ("fakevoice-clara", 120, 70)


async def test_put_of_unknown_voice_names_close_ones(world, story):
    answer = await put(world, story, "MAYA", voice="Clare")
    assert (answer.status, answer.json["code"]) == (422, "unknown_voice")
    assert answer.json["voices"][0] == "fakevoice-clara"
    assert "fakevoice-clara" in answer.json["detail"]


async def test_put_for_an_unknown_character_is_not_found(world, story):
    body = {"storyId": story.id, "characterId": "nobody", "voice": "Amy"}
    assert (await world.call("PUT", SETTINGS, body)).status == 404


async def test_put_without_character_is_the_narrator(world, story):
    answer = await world.call("PUT", SETTINGS, {"storyId": story.id, "voice": "Dora"})
    assert (answer.json["characterId"], answer.json["name"]) == (None, "Narrator")


async def test_put_needs_the_right_to_write(world, story):
    body = {"storyId": story.id, "voice": "Dora"}
    assert (await world.call("PUT", SETTINGS, body, user="vic")).status == 403
    assert (await world.call("PUT", SETTINGS, body, user="eve")).status == 404


async def test_put_makes_the_characters_lines_stale_and_no_others(world, story):
    await story.batch("voices")
    await put(world, story, "TOM", voice="Dora", rate=100)
    await story.read()
    assert await story.stale() == [("voices", story.line_slot(1)), ("voices", story.line_slot(2))]
    marked = {slot for shot in story.shots for slot in shot["stale"]}
    assert {mark["reason"] for shot in story.shots for mark in shot["stale"].values()} == {"voice_changed"}
    assert marked == {story.line_slot(1), story.line_slot(2)}


async def test_put_of_only_a_fallback_makes_nothing_stale(world, story):
    await story.batch("voices")
    answer = await put(world, story, "TOM", fallback=[{"provider": "spare", "voice": "Amy"}])
    assert answer.json["fallback"] == [{"provider": "spare", "voice": "spare-amy"}]
    assert await story.stale() == []


async def test_put_of_another_provider_takes_one_of_its_voices(world, story):
    answer = await put(world, story, "TOM", provider="spare")
    assert answer.json["voice"].startswith("spare-")


async def test_failed_line_is_spoken_by_the_fallback_voice(world, story):
    world.fakes.failing.add("fakevoice")
    await story.batch("voices")
    assert all(shot["current"].get(story.line_slot(n)) for n, shot in enumerate(story.shots))
    assert {asset["provider"] for asset in await story.assets()} == {"spare"}
    assert "voice.fell_back" in await world.activities(story.project_id)


async def test_line_spoken_by_the_fallback_is_not_stale(world, story):
    world.fakes.failing.add("fakevoice")
    await story.batch("voices")
    assert await story.stale() == []


async def test_fallback_job_stays_in_the_batch(world, story):
    world.fakes.failing.add("fakevoice")
    batch = await story.batch("voices")
    jobs = [job for job in await world.jobs(story.project_id) if job["batch_id"] == batch["batchId"]]
    assert sorted(job["state"] for job in jobs) == ["failed"] * 3 + ["succeeded"] * 3


async def test_fallback_ends_when_every_voice_fails(world, story):
    world.fakes.failing |= {"fakevoice", "spare"}
    await story.generate(0, "voice")
    assert [job["state"] for job in await world.jobs(story.project_id)] == ["failed", "failed"]


async def test_chosen_voice_of_one_take_leaves_the_setting_alone(world, story):
    await story.generate(0, "voice", overrides={"voice": "Dora"})
    assert world.fakes.of("VoiceRequest")[-1].voice == "fakevoice-dora"
    world.fakes.requests.clear()
    await story.generate(2, "voice", provider="spare")
    assert world.fakes.of("VoiceRequest")[-1].voice.startswith("spare-")
    assert (await settings_of(world, story))["TOM"]["provider"] == "fakevoice"


async def test_unknown_voice_of_one_take_is_refused(world, story):
    body = {"target": story.target(0, "voice"), "overrides": {"voice": "zzz"}}
    assert (await world.post(f"{BASE}/generate", body)).json["code"] == "unknown_voice"


async def test_preview_is_a_job_with_its_own_take(world, story):
    await put(world, story, "MAYA", voice="Amy")
    row = (await settings_of(world, story))["MAYA"]
    answer = await world.post(f"{SETTINGS}/{row['id']}/preview", {"text": "Hello there"})
    await world.settle()
    assert answer.status == 202, answer
    (asset,) = await story.assets(slot="preview")
    assert asset["media"]["text"] == "Hello there"
    assert asset["owner"] == {"type": "voice_setting", "id": row["id"]}


async def test_preview_without_body_says_a_sample_sentence(world, story):
    await put(world, story, "MAYA", voice="Amy")
    row = (await settings_of(world, story))["MAYA"]
    assert (await world.post(f"{SETTINGS}/{row['id']}/preview")).status == 202
    await world.settle()
    assert world.fakes.of("VoiceRequest")[-1].text


async def test_preview_before_there_is_a_voice_says_what_to_do(world, story):
    row = (await settings_of(world, story))["TOM"]
    answer = await world.post(f"{SETTINGS}/{row['id']}/preview")
    assert answer.status == 404
    assert "voice setting" in answer.json["detail"]


async def test_voice_setting_change_is_logged(world, story):
    await put(world, story, "MAYA", voice="Amy")
    assert "voice_setting.updated" in await world.activities(story.project_id)


@pytest.mark.parametrize(("source", "ordered"), [("unknown", 0), ("reported", 1)])
async def test_line_that_may_have_been_charged_is_not_ordered_again(source, ordered):
    actors = []

    async def submit(actor, _):
        actors.append(actor)

    ctx = SimpleNamespace(
        jobs=SimpleNamespace(submit=submit), activity=SimpleNamespace(log_activity=lambda *_: None)
    )
    job = {"_id": "j", "kind": "voice.generate", "project_id": "p", "user_id": "ann", "api_key_id": "k1"}
    job |= {"attempt": 1, "provider": "a", "target": {}, "error": {"code": "crashed"}, "cost_source": source}
    job["input"] = {"fallbacks": [{"provider": "b", "voice": "v"}]}
    await JobEvents(ctx, None)._fall_back(job)
    assert [(actor.user_id, actor.api_key_id) for actor in actors] == [("ann", "k1")] * ordered
