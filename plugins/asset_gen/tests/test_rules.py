from __future__ import annotations

import pytest

from studio_asset_gen.api import Slot, StoryView, Wish, basis_hash, frame_size
from studio_asset_gen.events import job_json
from studio_asset_gen.files import suffix_of
from studio_asset_gen.finishing import media_of
from studio_asset_gen.kinds.common import basis_reason, seed_for, shot_slot
from studio_asset_gen.kinds.music import mood_of
from studio_asset_gen.orders import _grouped, _total, _wanted
from studio_asset_gen.takes import with_url

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("aspect", "resolution", "size"),
    [
        ("16:9", "720p", (1280, 720)),
        ("16:9", "1080p", (1920, 1080)),
        ("16:9", "480p", (854, 480)),
        ("9:16", "720p", (720, 1280)),
        ("1:1", "720p", (720, 720)),
        ("4:3", "720p", (960, 720)),
        ("2.39:1", "720p", (1720, 720)),
    ],
)
def test_frame_size_is_even_and_of_the_aspect(aspect, resolution, size):
    assert frame_size({"aspect": aspect, "resolution": resolution}) == size


def test_basis_tells_inputs_apart():
    assert basis_hash("a", "bc") != basis_hash("ab", "c")
    assert basis_hash("a", None) == basis_hash("a", None)


def test_seed_is_the_callers_or_stable_or_differs_by_take():
    assert seed_for(Wish(overrides={"seed": 0}), "x") == 0
    assert seed_for(Wish(), "x") == seed_for(Wish(), "x")
    assert seed_for(Wish(takes=1), "x") != seed_for(Wish(), "x")
    assert 0 <= seed_for(Wish(takes=2**31), "x") < 2**31


def view_of(asset):
    return StoryView({}, {}, [], [], {}, {"a": asset})


def test_upload_without_basis_is_never_stale():
    assert basis_reason(view_of({"basis": {}}), "a", "now") is None
    assert basis_reason(view_of({}), "a", "now") is None


def test_take_from_other_inputs_is_stale():
    assert basis_reason(view_of({"basis": {"hash": "then"}}), "a", "now") == "inputs_changed"
    assert basis_reason(view_of({"basis": {"hash": "now"}}), "a", "now") is None


def test_mark_without_a_take_is_not_stale():
    shot = {"_id": "s", "stale": {"panel": {"reason": "edited", "since": 1}}}
    assert shot_slot(view_of({}), shot, "panel", "Panel", "now").stale is None


def test_mark_of_the_story_is_the_reason():
    shot = {"_id": "s", "current": {"panel": "a"}, "stale": {"panel": {"reason": "edited", "since": 1}}}
    assert shot_slot(view_of({}), shot, "panel", "Panel", "now").stale == "edited"


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("missing", [True, False, False]),
        ("stale", [False, True, False]),
        ("missing_or_stale", [True, True, False]),
        ("all", [True, True, True]),
    ],
)
def test_only_chooses_slots(only, expected):
    slots = [
        Slot("shot", "1", "panel", ""),
        Slot("shot", "1", "panel", "", "a", "old"),
        Slot("shot", "1", "p", "", "a"),
    ]
    assert [_wanted(slot, only) for slot in slots] == expected


def test_one_unknown_price_makes_the_sum_unknown():
    items = [{"cost_uusd": 1, "kind": "k", "provider": "p", "model": None}] * 2
    assert (_total(items), _total([])) == (2, 0)
    unknown = [*items, {**items[0], "cost_uusd": None}]
    assert _total(unknown) is None
    assert _grouped(unknown)[0] | {"count": 3} == _grouped(unknown)[0]


def test_mood_is_that_of_most_shots():
    shots = [{"mood": "dark"}, {"mood": "dark"}, {"mood": "warm"}]
    assert mood_of(StoryView({}, {}, [], shots, {})) == "dark"
    assert mood_of(StoryView({}, {}, [], [], {})) == "neutral"


@pytest.mark.parametrize(
    ("mime", "kind"),
    [
        ("image/png", "image"),
        ("audio/wav", "audio"),
        ("text/vtt", "subtitle"),
        ("application/otio+json", "document"),
    ],
)
def test_media_kind_follows_from_the_type(mime, kind):
    assert media_of(mime) == kind


def test_url_carries_the_fingerprint():
    asset = {"_id": "A", "blob": {"sha256": "ab" * 32}}
    assert with_url(asset)["url"].endswith("/assets/A/file?v=" + "ab" * 8)


def test_suffix_of_unknown_type_is_empty():
    assert (suffix_of("audio/wav"), suffix_of("application/x-none-such")) == (".wav", "")


def test_job_on_the_wire_is_camel_case_and_hides_input():
    job = {
        "_id": "J",
        "project_id": "p",
        "user_id": "u",
        "kind": "k",
        "state": "queued",
        "input": {"prompt": "x"},
    }
    shown = job_json(job)
    assert (shown["id"], shown["projectId"], "input" in shown) == ("J", "p", False)
