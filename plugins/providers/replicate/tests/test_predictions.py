"""What predictions mean: a table of payloads, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio import ProviderError
from studio_replicate.models import Reader, happened_ms, read_prediction
from studio_replicate.settings import ReplicateSettings

pytestmark = pytest.mark.pure
CASES = json.loads((Path(__file__).parent / "payloads" / "predictions.json").read_text())
HEX = "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"
MACHINE = {"price_kind": "per_predict_second", "unit_price_uusd": 975}


def read(prediction, capability="image", **settings):
    return Reader(ReplicateSettings(**settings), capability).generation(read_prediction(prediction))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_prediction_is_read_as_the_table_says(case):
    found, expected = read(case["prediction"]), case["expect"]
    assert found.provider_job_id == case["prediction"]["id"]
    assert found.state == expected["state"]
    assert [file.url for file in found.files] == expected.get("urls", [])
    assert all(file.mime.startswith("image/") for file in found.files)
    assert found.cost_uusd is None
    charged = case["prediction"]["status"] == "succeeded"  # whatever its files are
    assert bool(found.usage) == charged
    if expected["state"] == "failed":
        error = found.error
        assert (error.code, error.retryable, error.input) == (
            expected["code"], expected["retryable"], expected["input"],
        )  # fmt: skip
        assert error.message
    else:
        assert found.error is None


@pytest.mark.parametrize("status", ["cancelled", "Succeeded", "success", "completed", "", None, 7])
def test_state_that_is_no_word_of_theirs_is_an_error(status):
    with pytest.raises(ProviderError) as raised:
        read(CASES[0]["prediction"] | {"status": status})
    assert raised.value.code == "provider_bad_answer"


@pytest.mark.parametrize(
    "raw", [None, [], {}, {"id": "a"}, {"id": "../x", "status": "starting"}, {"id": 7, "status": "x"}]
)
def test_answer_that_is_no_prediction_is_an_error(raw):
    with pytest.raises(ProviderError):
        read_prediction(raw)


def done(**fields):
    return next(case["prediction"] for case in CASES if case["name"] == "a list of addresses") | fields


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({}, 544),
        ({"status": "failed", "error": "x"}, 544),
        ({"status": "canceled"}, 544),
        ({"status": "processing"}, None),
        ({"metrics": {"predict_time": 0}}, 0),
        ({"metrics": {}}, None),
        ({"metrics": None}, None),
    ],
)
def test_seconds_of_the_machine_are_billed_whatever_the_end(fields, cost):
    """0.558 s at 975 micro-USD are 544.05, rounded up."""
    expected = 545 if cost == 544 else cost
    found = read(done(**fields), models={"flux-schnell": MACHINE})
    assert (found.cost_uusd, found.cost_source) == (expected, "computed")


def test_price_is_found_by_version_where_the_model_is_hidden():
    models = {"house": {"capability": "image", "model": f"our/style:{HEX}", "fields": {}, **MACHINE}}
    by_both = read(done(model="our/style", version=HEX), models=models)
    assert by_both.cost_uusd == 545
    assert read(done(model="our/style", version="0" * 64), models=models).cost_uusd is None


def test_video_is_read_as_a_video_by_whichever_capability_hears_of_it():
    url = "https://replicate.delivery/xezq/a/out.mp4"
    found = read(done(model="bytedance/seedance-1-lite", output=url), capability="image")
    assert [(file.url, file.mime) for file in found.files] == [(url, "video/mp4")]


@pytest.mark.parametrize(
    ("ending", "mime"), [("wav", "audio/wav"), ("mp3", "audio/mpeg"), ("", "audio/mpeg")]
)
def test_sound_has_the_name_that_everybody_uses(ending, mime):
    url = f"https://replicate.delivery/xezq/a/out.{ending}"
    found = read(done(model="stability-ai/stable-audio-2.5", output=url), capability="music")
    assert [file.mime for file in found.files] == [mime]


@pytest.mark.parametrize(
    ("moments", "at_ms"),
    [
        ({"completed_at": "2026-01-15T09:54:56.714Z"}, 1768470896714),
        ({"completed_at": None, "started_at": "2026-01-15T09:54:56.714000"}, 1768470896714),
        ({"completed_at": "soon"}, None),
        ({"completed_at": None, "started_at": None, "created_at": None}, None),
    ],
)
def test_moment_of_a_state(moments, at_ms):
    assert happened_ms(read_prediction(done(**moments))) == at_ms
