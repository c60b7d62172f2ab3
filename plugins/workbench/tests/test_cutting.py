from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio import InvalidInputError
from studio_asset_gen.api import StoryView
from studio_workbench.cutting import cut, differences, reading_ms, scenes_of

pytestmark = pytest.mark.pure
PROJECT = {"aspect": "16:9", "resolution": "720p", "fps": 24}
SCENES = [{"_id": f"s{n}", "number": str(n)} for n in range(1, 6)]


def shot(number, *, scene="s1", lines=(), duration=1000, current=None):
    said = [{"id": f"{number}-{i}", "character_id": None, "text": text} for i, text in enumerate(lines)]
    return {
        "_id": f"shot{number}", "scene_id": scene, "code": f"1{number}", "duration_ms": duration,
        "movement": "static", "lines": said, "current": current or {},
    }  # fmt: skip


def view(*shots, assets=None):
    return StoryView(PROJECT, {"title": "Rain"}, SCENES, list(shots), {}, assets or {})


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [("1", "s1"), ("2-3", "s2 s3"), ("1,4-5", "s1 s4 s5"), (" 3 - 4 ", "s3 s4"), (None, "s1 s2 s3 s4 s5")],
)
def test_scenes_are_named_by_number_and_range(chosen, ids):
    assert scenes_of(SCENES, chosen) == set(ids.split())


def test_scene_numbers_of_the_script_come_first():
    scenes = [{"_id": "a", "number": "12A"}, {"_id": "b", "number": "1"}]
    assert scenes_of(scenes, "1") == {"b"}
    assert scenes_of(scenes, "12a") == {"a"}


def test_scenes_without_numbers_are_counted():
    assert scenes_of([{"_id": "a", "number": ""}, {"_id": "b"}], "2") == {"b"}


@pytest.mark.parametrize("chosen", ["7", "0", "3-1"])
def test_scenes_that_are_not_there_are_refused(chosen):
    with pytest.raises(InvalidInputError):
        scenes_of(SCENES, chosen)


def test_silent_shot_keeps_its_duration():
    assert cut(view(shot(1)), None, None).duration_ms == 1000


def test_lines_are_spoken_one_after_the_other():
    lines = cut(view(shot(1, lines=("one two", "three"))), None, None).shots[0]["lines"]
    assert lines[1]["start_ms"] > lines[0]["start_ms"] + lines[0]["duration_ms"]


def test_voice_length_counts_where_there_is_a_voice():
    voice = {"v": {"media": {"duration_ms": 4321}}}
    made = cut(view(shot(1, lines=("hi",), current={"voice:1-0": "v"}), assets=voice), None, None)
    assert made.shots[0]["lines"][0]["duration_ms"] == 4321
    assert made.missing_voices == []


def test_pointer_to_a_lost_asset_counts_as_missing():
    made = cut(view(shot(1, current={"panel": "gone"})), None, None)
    assert made.missing_panels == ["11"]


def test_reading_time_grows_with_words_and_has_a_least():
    assert reading_ms("a") < reading_ms("a b c d e f")
    assert reading_ms("") > 0


def test_basis_depends_on_music():
    assert cut(view(shot(1)), None, None).basis != cut(view(shot(1)), None, "m").basis


def test_differences_ignore_where_a_shot_begins():
    before, after = (
        [{"shot_id": "a", "code": "1", "start_ms": 0}],
        [{"shot_id": "a", "code": "1", "start_ms": 9}],
    )
    assert differences(before, after) == []


def test_differences_name_additions():
    found = differences([], [{"shot_id": "a", "code": "1"}])
    assert found == [{"shot_id": "a", "code": "1", "change": "added"}]


@given(
    st.lists(
        st.tuples(st.integers(200, 60_000), st.lists(st.text("ab ", max_size=80), max_size=4)), max_size=12
    )
)
def test_every_line_ends_before_its_shot_and_shots_fill_the_film(plan):
    shots = [shot(n, duration=length, lines=lines) for n, (length, lines) in enumerate(plan)]
    made = cut(view(*shots), None, None)
    assert made.duration_ms == sum(one["duration_ms"] for one in made.shots)
    for one in made.shots:
        assert all(line["start_ms"] + line["duration_ms"] < one["duration_ms"] for line in one["lines"])
