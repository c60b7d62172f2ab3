from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio import ConflictError
from studio_stories.api import Breakdown, BreakdownLine, BreakdownShot
from studio_stories.documents import colour_of, content_of, duration_of, times_of, word_count
from studio_stories.importer import parse_story
from studio_stories.ordering import between, spread
from studio_stories.planning import letters, plan, stable_id
from studio_stories.stale import basis_of, marks, stale_after_entity, stale_after_scene, stale_after_shot

pytestmark = pytest.mark.pure
OWNER = {"story_id": "S", "project_id": "P"}
LINE = {"id": "L1", "character_id": "C1", "text": "Hello.", "parenthetical": "", "emotion": ""}
SHOT = {
    "description": "A cup",
    "lines": [LINE],
    "movement": "static",
    "duration_ms": 2_000,
    "character_ids": ["C1"],
}


@pytest.mark.parametrize(
    ("change", "slots"),
    [
        ({}, set()),
        ({"description": "A plate"}, {"panel", "clip"}),
        ({"shot_size": "CU"}, {"panel", "clip"}),
        ({"character_ids": []}, {"panel", "clip"}),
        ({"prompt": "x"}, {"panel", "clip"}),
        ({"movement": "push_in"}, {"clip"}),
        ({"duration_ms": 3_000}, {"clip"}),
        ({"lines": [LINE | {"text": "Bye."}]}, {"voice:L1"}),
        ({"lines": [LINE | {"character_id": "C2"}]}, {"voice:L1"}),
        ({"lines": [LINE | {"emotion": "sad"}]}, {"voice:L1"}),
        ({"lines": [LINE, LINE | {"id": "L2"}]}, set()),
        ({"lock": True, "order": "z", "code": "9Z"}, set()),
    ],
)
def test_shot_edit_leaves_stale_only_what_it_concerns(change, slots):
    assert stale_after_shot(SHOT, SHOT | change) == slots


@pytest.mark.parametrize(
    ("before", "after", "slots"),
    [
        ({"heading": {"time_of_day": "DAY"}}, {"heading": {"time_of_day": "NIGHT"}}, {"panel", "clip"}),
        ({"location_id": "A"}, {"location_id": "B"}, {"panel", "clip"}),
        ({"synopsis": "a"}, {"synopsis": "b"}, set()),
    ],
)
def test_scene_edit_leaves_pictures_stale_when_it_is_seen(before, after, slots):
    assert stale_after_scene(before, after) == slots


@pytest.mark.parametrize(
    ("change", "slots"),
    [
        ({"colour": "#000000"}, {"panel", "clip"}),
        ({"voice_setting_id": "V"}, {"voice"}),
        ({"role": "lead"}, set()),
    ],
)
def test_entity_edit_leaves_pictures_or_voices_stale(change, slots):
    before = {"colour": "#ffffff", "voice_setting_id": None}
    assert stale_after_entity(before, before | change) == slots


def test_only_a_slot_with_a_take_is_marked():
    assert marks({"current": {"panel": "A"}}, {"panel", "clip"}, "r", 5) == {
        "stale.panel": {"reason": "r", "since": 5}
    }


def test_basis_of_a_voice_ignores_the_picture():
    assert basis_of(SHOT, "voice:L1") == basis_of(SHOT | {"description": "x"}, "voice:L1")
    assert basis_of(SHOT, "panel") != basis_of(SHOT | {"description": "x"}, "panel")
    assert basis_of(SHOT, "panel") == basis_of(SHOT | {"movement": "push_in"}, "panel")


@given(st.lists(st.integers(0, 10_000), max_size=60))
def test_key_between_two_keys_sorts_between_them(places):
    keys: list[str] = []
    for place in places:
        at = place % (len(keys) + 1)
        keys.insert(at, between(keys[at - 1] if at else None, keys[at] if at < len(keys) else None))
    assert keys == sorted(set(keys))


def test_keys_in_one_place_stay_short():
    low, high = "A", "B"
    for _ in range(200):
        high = between(low, high)
    assert len(high) < 80


def test_no_key_fits_between_equal_keys():
    with pytest.raises(ConflictError):
        between("A", "A")


@pytest.mark.parametrize("count", [0, 1, 2, 61, 62, 500, 2_000])
def test_spread_keys_are_in_order(count):
    keys = spread(count)
    assert keys == sorted(set(keys))
    assert len(keys) == count


def test_colours_are_distinct_and_stable():
    colours = [colour_of(n) for n in range(40)]
    assert len(set(colours)) == 40
    assert colours == [colour_of(n) for n in range(40)]


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "A"), (25, "Z"), (26, "AA"), (27, "AB"), (701, "ZZ"), (702, "AAA")]
)
def test_shot_letters_count_on(number, expected):
    assert letters(number) == expected


def test_stable_id_depends_on_its_parts_only():
    assert stable_id("J", 1) == stable_id("J", 1) != stable_id("J", 2)
    assert len(stable_id("J", 1)) == 26


def test_words_are_counted_with_apostrophes():
    assert word_count("Don't go, it's late.") == 4


def test_duration_counts_speech_slower_than_action():
    text = "word " * 100
    assert duration_of([{"kind": "dialogue", "text": text}]) > duration_of([{"kind": "action", "text": text}])


def test_continuous_takes_the_time_before():
    scenes = [
        {"_id": n, "heading": {"time_of_day": t}} for n, t in enumerate(["", "NIGHT", "CONTINUOUS", "Dawn"])
    ]
    assert list(times_of(scenes).values()) == ["DAY", "NIGHT", "NIGHT", "DAWN"]


SCRIPT = b"INT. ROOM - DAY\n\nMAYA\nHello.\n\nTOM\nBye.\n\nMAYA\nHello.\n"


def content():
    return content_of(parse_story(SCRIPT, "a.fountain", limit_bytes=10_000), OWNER)


def shot(text: str, *lines: tuple[str, str], **more):
    spoken = tuple(BreakdownLine(text=said, character=who) for who, said in lines)
    fields = {"scene": 0, "code": "1A", "shot_size": "MS", "duration_ms": 2_000} | more
    return BreakdownShot(description=text, lines=spoken, **fields)


def planned(old, *shots, job="J1", **more):
    return plan(old, Breakdown(shots=shots, **more), job, [scene["_id"] for scene in old.scenes])


def test_plan_gives_lines_the_ids_of_the_script():
    old = content()
    fresh = planned(old, shot("one", ("Maya", "Hello."), ("TOM", "Bye.")), shot("two", ("MAYA", "Hello.")))
    ids = [line["id"] for made in fresh.shots for line in made["lines"]]
    assert ids == [element["id"] for element in old.scenes[0]["elements"]]
    assert [made["code"] for made in fresh.shots] == ["1A", "1B"]


def test_plan_is_the_same_for_the_same_job():
    old = content()
    assert planned(old, shot("one")).shots == planned(old, shot("one")).shots


def test_plan_keeps_locked_shots_and_covers_their_lines_once():
    old = planned(content(), shot("one", ("MAYA", "Hello.")), shot("two", ("TOM", "Bye.")))
    old.shots[0] |= {"lock": True, "description": "mine"}
    fresh = planned(old, shot("new", ("MAYA", "Hello."), ("TOM", "Bye.")), job="J2")
    assert [made["description"] for made in fresh.shots] == ["mine", "new"]
    assert [line["text"] for made in fresh.shots for line in made["lines"]] == ["Hello.", "Bye."]


def test_plan_keeps_takes_of_repeated_shots_and_unchanged_lines():
    old = planned(content(), shot("one", ("MAYA", "Hello.")), shot("two", ("TOM", "Bye.")))
    voice = f"voice:{old.shots[1]['lines'][0]['id']}"
    old.shots[0]["current"] = {"panel": "A1"}
    old.shots[1]["current"] = {"panel": "A2", voice: "A3"}
    fresh = planned(old, shot("one", ("MAYA", "Hello.")), shot("other", ("TOM", "Bye.")), job="J2")
    assert [made["current"] for made in fresh.shots] == [{"panel": "A1"}, {voice: "A3"}]
    assert fresh.shots[0]["_id"] == old.shots[0]["_id"] != fresh.shots[1]["_id"]


def test_plan_adds_characters_props_and_synopses():
    fresh = planned(
        content(), shot("A knife."), characters=("maya", "Ann"), props=("knife",), synopses=("They meet.",)
    )
    assert [doc["name"] for doc in fresh.characters] == ["Ann", "MAYA", "TOM"]
    assert len({doc["colour"] for doc in fresh.characters}) == 3
    assert fresh.shots[0]["prop_ids"] == [fresh.props[0]["_id"]]
    assert fresh.scenes[0]["synopsis"] == "They meet."


def test_plan_replaces_words_that_nothing_can_draw():
    made = planned(
        content(), shot("x", shot_size="HUGE", movement="fly", weather="frogs", duration_ms=1)
    ).shots[0]
    assert (made["shot_size"], made["movement"], made["weather"], made["duration_ms"]) == (
        "MS",
        "static",
        "clear",
        200,
    )
