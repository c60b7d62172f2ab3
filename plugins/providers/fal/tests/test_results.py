"""COMPLETED is no success yet: a table of states and results, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio import ImageRequest, MusicRequest, ProviderError, VideoRequest
from studio_fal.models import cost_of
from studio_fal.settings import FalSettings

CASES = json.loads((Path(__file__).parent / "payloads" / "results.json").read_text())


async def started(make, fake, pictures, capability="image", **settings):
    generator = make(capability, **settings)
    requests = {
        "image": ImageRequest(job_id="j", prompt="A lighthouse in rain"),
        "video": VideoRequest(job_id="j", image=pictures.small, duration_ms=3000),
        "music": MusicRequest(job_id="j", duration_ms=3000),
    }
    return generator, await generator.submit(requests[capability])


def matches(found, expected):
    """Compare a generation with a row of a table."""
    files = [[file.url, file.mime, file.width, file.height] for file in found.files]
    assert (found.state, files) == (expected["state"], expected.get("files", []))
    if "code" in expected:
        error = found.error
        wanted = (expected["code"], expected["retryable"], expected["input"])
        if expected["code"] == "content_policy_violation" or expected["input"] or found.state == "failed":
            assert (error.code, error.retryable, error.input) == wanted
        assert error.message
    else:
        assert found.error is None


@pytest.mark.http
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_result_is_read_as_the_table_says(make, fake, pictures, case):
    result = case["result"]
    fake.error, fake.told = (result["status"], result["body"], result["headers"]), case["status"]
    generator, generation = await started(make, fake, pictures, case["capability"])
    told = await generator.poll(generation.provider_job_id)
    matches(told, case["expect"])
    told_of_error = any((case["status"] or {}).get(key) for key in ("error", "error_type"))
    worked = result["status"] == 200 and not told_of_error and told.state != "running"
    assert bool(told.usage) == worked  # what has worked is charged, whatever its files are


@pytest.mark.http
@pytest.mark.parametrize("mode", ["500", "redirect", "cut"])
async def test_way_to_a_result_that_is_broken_is_no_failure_of_the_job(make, fake, pictures, mode):
    generator, generation = await started(make, fake, pictures, deadline_s=2)
    if mode == "500":
        fake.error_body = lambda _: {"message": "nginx"}
    request_id = generation.provider_job_id.rpartition("|")[2]
    fake.fail(mode, f"{request_id}$", times=4)
    with pytest.raises(ProviderError) as raised:
        await generator.poll(generation.provider_job_id)
    assert raised.value.retryable
    fake._plans.clear()
    assert (await generator.poll(generation.provider_job_id)).state == "succeeded"


@pytest.mark.http
@pytest.mark.parametrize("state", ["OK", "ERROR", "DONE", "completed", "", None])
async def test_state_that_is_no_word_of_theirs_is_an_error(make, fake, pictures, state):
    generator, generation = await started(make, fake, pictures)
    fake.told = {"status": state}
    with pytest.raises(ProviderError) as raised:
        await generator.poll(generation.provider_job_id)
    assert raised.value.code == "provider_bad_answer"


@pytest.mark.http
@pytest.mark.parametrize(
    ("units", "cost"),
    [
        ("1", 25_000),
        ("1.5", 37_500),
        ("0.0000001", 1),
        ("0", 0),
        (None, None),
        ("-1", None),
        ("1e3", None),
        ("many", None),
        ("", None),
    ],
)
async def test_units_that_the_result_tells_are_billed_at_the_configured_price(
    make, fake, pictures, units, cost
):
    fake.units = units
    priced = {"flux-schnell": {"price_kind": "per_unit", "unit_price_uusd": 25_000}}
    generator, generation = await started(make, fake, pictures, models=priced)
    done = await generator.poll(generation.provider_job_id)
    assert (done.cost_uusd, done.cost_source) == (cost, "computed")


@pytest.mark.pure
def test_cost_without_a_price_is_unknown():
    assert cost_of(FalSettings().models["flux-dev"], "1") is None
    assert cost_of(None, "1") is None
