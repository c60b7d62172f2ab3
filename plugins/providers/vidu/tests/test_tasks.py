"""What tasks mean: a table of payloads, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio import ProviderError
from studio_vidu.models import generation_of, task_id_of
from studio_vidu.settings import ViduSettings

pytestmark = pytest.mark.pure
CASES = json.loads((Path(__file__).parent / "payloads" / "tasks.json").read_text())
DONE = next(case["task"] for case in CASES if case["name"] == "one video")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_task_is_read_as_the_table_says(case):
    found, expected = generation_of("t-1", case["task"], ViduSettings()), case["expect"]
    assert (found.provider_job_id, found.state) == ("t-1", expected["state"])
    assert [(file.url, file.mime) for file in found.files] == [
        (url, "video/mp4") for url in expected.get("urls", [])
    ]
    assert found.cost_uusd is None
    if "code" in expected:
        error = found.error
        assert [error.code, error.retryable, error.input] == [
            expected[key] for key in ("code", "retryable", "input")
        ]
        assert error.message


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"state": "done"},
        {"state": "Success"},
        {"state": None},
        DONE | {"credits": "x"},
        DONE | {"creations": 7},
    ],
)
def test_what_is_no_task_is_an_error(raw):
    with pytest.raises(ProviderError) as raised:
        generation_of("t-1", raw, ViduSettings())
    assert raised.value.code == "provider_bad_answer"


@pytest.mark.parametrize(
    ("fields", "credit_uusd", "cost", "usage"),
    [
        ({}, 5_000, 200_000, {"credits": 40}),
        ({}, None, None, {"credits": 40}),
        ({"credits": 0}, 5_000, 0, {"credits": 0}),
        ({"credits": None}, 5_000, None, {}),
        ({"creations": []}, 5_000, 200_000, {"credits": 40}),
        ({"creations": [{"url": "https://elsewhere.example/a.mp4"}]}, 5_000, 200_000, {"credits": 40}),
        ({"creations": [], "credits": None}, 5_000, None, {"calls": 1}),
        ({"state": "failed", "err_code": "FieldInvalid"}, 5_000, None, {}),
        ({"state": "processing"}, 5_000, None, {}),
    ],
)
def test_credits_are_turned_into_money_where_their_price_is_configured(fields, credit_uusd, cost, usage):
    found = generation_of("t-1", DONE | fields, ViduSettings(credit_uusd=credit_uusd))
    assert (found.cost_uusd, found.usage) == (cost, usage)
    assert cost is None or found.cost_source == "computed"


@pytest.mark.parametrize(
    ("raw", "task_id"),
    [
        ({"task_id": "834645448353398784", "id": "x"}, "834645448353398784"),
        ({"id": "834645448353398784"}, "834645448353398784"),
        ({"id": 834645448353398784}, "834645448353398784"),
        ({"id": True}, None),
        ({"id": "../x"}, None),
        ({"id": ""}, None),
        ({"id": "é"}, None),
        ({}, None),
    ],
)
def test_id_of_a_task(raw, task_id):
    assert task_id_of(raw) == task_id
