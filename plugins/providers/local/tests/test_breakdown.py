"""Scripts to shots."""

from __future__ import annotations

import time

import pytest

from studio import ProviderRejectedError
from studio_local.breakdown.analyst import LocalScriptAnalyst
from studio_local.breakdown.plan import action_ms, break_down, shot_code, speech_ms
from studio_stories.api import Breakdown, BreakdownRequest, ScriptElement, ScriptScene

pytestmark = pytest.mark.pure


def action(text):
    return ScriptElement(kind="action", text=text)


def says(who, text, how=""):
    return ScriptElement(kind="dialogue", text=text, character=who, parenthetical=how)


def scene(*elements, number="3", int_ext="INT", location="KITCHEN", time_of_day="NIGHT"):
    return ScriptScene(
        number=number, int_ext=int_ext, location=location, time_of_day=time_of_day, elements=elements
    )


TALK = scene(
    action("Rain on the window. BEN (40) reads a letter at the table."),
    says("BEN", "You came back."), says("ANNA", "I never left. You stopped looking!"),
    says("BEN", "What do you want?"), says("ANNA", "Only the boat.", "quietly"),
    action("Her eyes are wet."), says("BEN", "Take it."),
)  # fmt: skip


def test_every_dialogue_line_appears_once_and_in_order():
    scenes = [TALK, scene(*(says("A", f"Line {i} of many words, one after the other.") for i in range(40)))]
    expected = [e.text for s in scenes for e in s.elements if e.kind == "dialogue"]
    assert [line.text for shot in break_down(scenes).shots for line in shot.lines] == expected


def test_first_shot_of_each_scene_is_wide_and_silent():
    plan = break_down([TALK, scene(says("A", "Hello."), int_ext="EXT", location="PIER")])
    firsts = [next(shot for shot in plan.shots if shot.scene == i) for i in (0, 1)]
    assert [shot.shot_size for shot in firsts] == ["LS", "ELS"]
    assert [shot.lines for shot in firsts] == [(), ()]


def test_typical_scene_has_two_to_four_shots():
    assert 2 <= len([shot for shot in break_down([TALK]).shots if shot.scene == 0]) <= 4


def test_codes_count_through_the_alphabet_and_stay_unique():
    plan = break_down([scene(*(says("A", "word " * 30) for _ in range(30)))])
    codes = [shot.code for shot in plan.shots]
    assert codes[:2] == ["3A", "3B"]
    assert codes[25:28] == ["3Z", "3AA", "3AB"]
    assert len(set(codes)) == len(codes)


def test_code_of_a_lettered_scene_keeps_its_letter_apart():
    assert shot_code(scene(number="12A"), 0, 1) == "12A-B"
    assert shot_code(scene(number=""), 4, 0) == "5A"


def test_speech_takes_its_words_at_165_a_minute():
    assert speech_ms("one two three four five six seven eight nine ten eleven") == 11 * 60000 // 165 + 350
    assert speech_ms("Well.", "(beat)") - speech_ms("Well.") == 700


def test_action_stands_between_two_and_a_half_and_five_seconds():
    assert action_ms("She runs.") == 2500
    assert action_ms("word " * 200) == 5000
    assert 2500 < action_ms("word " * 15) < 5000


def test_shot_is_long_enough_for_its_lines():
    for shot in break_down([TALK]).shots:
        assert shot.duration_ms >= sum(speech_ms(line.text, line.parenthetical) for line in shot.lines)


@pytest.mark.parametrize(
    ("text", "weather"),
    [("A storm. Rain everywhere.", "storm"), ("It drizzles.", "rain"), ("Snow falls.", "snow"),
     ("Mist over the water.", "fog"), ("A gust takes his hat.", "wind"), ("The training ends.", "clear")],
)  # fmt: skip
def test_weather_follows_whole_words(text, weather):
    assert break_down([scene(action(text))]).shots[0].weather == weather


def test_mood_is_the_one_with_most_words():
    assert break_down([scene(action("He smiles. A hug. They laugh. A gun."))]).shots[0].mood == "warm"
    assert break_down([scene(action("A plain white wall."))]).shots[0].mood == "neutral"


def test_characters_are_speakers_and_who_is_introduced():
    plan = break_down([scene(action("MARA, a pilot, waits. CRASH! BEN (40) enters."), says("ANNA", "Hi."))])
    assert set(plan.characters) == {"MARA", "BEN", "ANNA"}


def test_props_are_things_and_capitals_but_nobody():
    plan = break_down([scene(action("ANNA (30) drops the LEDGER beside a lamp."), says("ANNA", "Oh."))])
    assert plan.props == ("ledger", "lamp")


def test_over_the_shoulder_and_two_shots_have_two_people():
    shots = break_down([scene(*TALK.elements, *TALK.elements, *TALK.elements)]).shots
    seen = [shot for shot in shots if shot.shot_size in {"OTS", "TWO"}]
    assert seen
    assert all(len(shot.characters) >= 2 for shot in seen)


def test_action_of_hands_and_eyes_is_close():
    sizes = [
        s.shot_size
        for s in break_down([scene(action("Dark. Her eyes open wide, slowly, and stay open."))]).shots
    ]
    assert sizes == ["LS", "ECU"]


def test_transitions_make_no_shot():
    cut = ScriptElement(kind="transition", text="CUT TO:")
    assert len(break_down([scene(cut, action("A door."), cut)]).shots) == 1


def test_empty_scene_still_has_its_establishing_shot():
    shot = break_down([scene()]).shots[0]
    assert (shot.code, shot.description) == ("3A", "Kitchen, night.")
    assert shot.duration_ms >= 2500


def test_prompt_tells_place_time_and_people_but_no_spoken_word():
    shot = next(shot for shot in break_down([TALK]).shots if shot.lines)
    assert "interior, kitchen, night, rain" in shot.image_prompt
    assert "Ben" in shot.image_prompt
    assert "You came back" not in shot.image_prompt


def test_synopsis_per_scene():
    plan = break_down([TALK, scene(says("ANNA", "Hello?"))])
    assert plan.synopses == ("Rain on the window.", "Anna at Kitchen.")


def test_emotion_comes_from_parenthetical_or_punctuation():
    lines = {line.text: line.emotion for shot in break_down([TALK]).shots for line in shot.lines}
    assert lines["Only the boat."] == "quietly"
    assert lines["What do you want?"] == "questioning"


def test_120_scenes_take_seconds():
    long_scene = scene(*(TALK.elements * 4))
    begin = time.process_time()
    plan = break_down([long_scene] * 120)
    assert time.process_time() - begin < 10
    assert len({shot.scene for shot in plan.shots}) == 120


async def test_submit_answers_the_breakdown_at_once(warm, tools):
    analyst = LocalScriptAnalyst(warm)
    generation = await tools.settled(
        analyst, await analyst.submit(BreakdownRequest(job_id="b1", title="T", scenes=(TALK,)))
    )
    assert generation.state == "succeeded"
    assert Breakdown.model_validate(generation.data["breakdown"]).shots[0].code == "3A"


async def test_script_without_scenes_is_refused(warm):
    with pytest.raises(ProviderRejectedError) as caught:
        await LocalScriptAnalyst(warm).submit(BreakdownRequest(job_id="b2", title="T", scenes=()))
    assert caught.value.extra["input"] == "scenes"
