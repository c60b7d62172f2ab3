"""Going to the next provider, how many jobs a user may have under way, and what a job is billed."""

from __future__ import annotations

import asyncio
import sys

import pytest

from studio.auth import Actor
from studio.errors import (
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    RateLimitedError,
)
from studio.jobs.contract import CostDecision
from studio.providers.contract import MediaFile, ModelSpec, ProviderSpec

pytestmark = pytest.mark.memory
OFF = ProviderUnavailableError("set STUDIO_FAKE__API_KEY")
OPEN = ProviderUnavailableError("open", retry_after=4)


@pytest.fixture
def second(world):
    """Another provider of the same capability, behind the first."""
    return add_second(world)


def add_second(world, **fields):
    vendor = type(world.vendor)()
    vendor.price = 10_000
    sys.modules["fake_vendor"].Second = lambda ctx: vendor
    spec = ProviderSpec("second", "image", "fake_vendor:Second", **{"priority": 200, **fields})
    world.providers.register("other", None, [spec])
    return vendor


@pytest.mark.parametrize(("errors", "attempts"), [([OFF], 2), ([OPEN], 2), ([ProviderError("502")] * 3, 4)])
async def test_work_that_was_not_sent_goes_to_the_next_provider(world, second, errors, attempts):
    world.vendor.plan = list(errors)
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["provider"], job["attempt"]) == ("succeeded", "second", attempts)
    assert sum(second.submits.values()) == 1
    released = [(attempt, "release") for attempt in range(1, attempts)]
    assert world.owner.kinds(job_id) == [*released, (attempts, "capture")]
    assert [hold.provider for hold in world.owner.held] == ["fake"] * (attempts - 1) + ["second"]
    assert world.owner.held[-1].amount_uusd == 10_000


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutcomeUnknownError("timeout"), "interrupted_unknown_charge"),
        (ProviderRejectedError("nudity", code="content_policy", input="prompt"), "content_policy"),
    ],
)
async def test_what_may_be_charged_or_was_refused_goes_nowhere_else(world, second, error, code):
    world.vendor.plan = [error]
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", code, 1)
    assert not second.submits


async def test_failure_of_work_that_was_sent_goes_nowhere_else(world, second, say):
    world.vendor.answers = [say.failed("overloaded", retryable=True) for _ in range(3)]
    job_id = await world.submit()
    await world.play()
    assert (await world.job(job_id))["state"] == "failed"
    assert not second.submits


async def test_named_provider_is_kept(world, second):
    world.vendor.plan = [OFF]
    job_id = await world.submit(provider="fake")
    await world.play()
    assert (await world.job(job_id))["error"]["code"] == "provider_unavailable"
    assert not second.submits


async def test_fallback_can_be_switched_off(make_world):
    world = make_world(fallback=False)
    second = add_second(world)
    world.vendor.plan = [OFF]
    job_id = await world.submit()
    await world.play()
    assert (await world.job(job_id))["state"] == "failed"
    assert not second.submits


async def test_every_provider_is_tried_once_and_the_last_error_is_kept(world, second):
    world.vendor.plan, second.plan = [OFF], [ProviderUnavailableError("off too")]
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["error"]["message"]) == ("failed", "off too")
    assert [attempt["provider"] for attempt in job["attempts"]] == ["fake"]
    assert world.owner.kinds(job_id) == [(1, "release"), (2, "release")]


async def test_provider_without_the_model_is_no_fallback(world):
    second = add_second(world, models=(ModelSpec("other"),))
    world.vendor.plan = [OFF]
    job_id = await world.submit(model="mine")
    await world.play()
    assert (await world.job(job_id))["state"] == "failed"
    assert not second.submits


async def test_fallback_over_budget_is_refused(world, second):
    world.vendor.plan = [OFF]
    world.owner.hold = lambda hold: CostDecision(hold.provider == "fake", "used up")
    job_id = await world.submit()
    await world.play()
    assert (await world.job(job_id))["error"]["code"] == "budget_exceeded"
    assert not second.submits


async def test_retry_begins_with_the_first_provider_again(world, second, say):
    world.vendor.plan = [OFF]
    second.answers = [say.failed()]
    job_id = await world.submit()
    await world.play()
    assert (await world.job(job_id))["provider"] == "second"
    await world.jobs.retry(job_id)
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["provider"]) == ("succeeded", "fake")


async def test_rate_limit_of_one_job_keeps_the_others_away(world, say):
    world.vendor.plan = [RateLimitedError("later", retry_after=300), say.done(), say.done()]
    first, other = await world.submit(), await world.submit()
    await world.step(first)
    assert world.bell.rings[-1] == (first, pytest.approx(60))
    job = await world.step(other)
    assert (job["state"], job["attempt"]) == ("queued", 1)
    assert world.bell.rings[-1] == (other, pytest.approx(60))
    assert sum(world.vendor.submits.values()) == 1
    await world.play()
    assert {(await world.job(one))["state"] for one in (first, other)} == {"succeeded"}


async def test_pause_that_the_vendor_asked_for_is_waited_for(world, second, say):
    world.vendor.plan = [RateLimitedError("later", retry_after=20), say.done(), say.done()]
    first, other = await world.submit(), await world.submit()
    await world.play()
    for job_id in (first, other):
        job = await world.job(job_id)
        assert (job["state"], job["provider"]) == ("succeeded", "fake")
    assert not second.submits


async def test_user_has_no_more_jobs_under_way_than_allowed(make_world, say):
    world = make_world(user_concurrency=2)
    jobs = [await world.submit() for _ in range(4)]
    bob = (await world.jobs.submit(Actor("bob"), world.order()))["_id"]
    others = [world.process(f"p{n}") for n in range(5)]
    await asyncio.gather(*(p.step(job_id) for p, job_id in zip(others, [*jobs, bob], strict=True)))
    states = [(await world.job(job_id))["state"] for job_id in jobs]
    assert states.count("submitted") <= 2
    assert (await world.job(bob))["state"] == "submitted"
    highest = 0
    for _ in range(60):
        world.clock.ms += 1_100
        world.bell.rings.clear()
        await world.scan()
        states = [(await world.job(job_id))["state"] for job_id in jobs]
        highest = max(highest, states.count("submitted"))
    assert states == ["succeeded"] * 4
    assert highest == 2
    assert all(count == 1 for count in world.vendor.submits.values())


PRICED = (ModelSpec("m", "per_1k_characters", unit_price_uusd=2_000),)


@pytest.mark.parametrize(
    ("fields", "cost", "source"),
    [
        ({"cost_uusd": 9, "usage": {"characters": 500}}, 9, "reported"),
        ({"cost_uusd": 9, "cost_source": "computed", "usage": {"characters": 500}}, 9, "computed"),
        ({"usage": {"characters": 501}}, 1_002, "computed"),
        ({"usage": {"credits": 3}}, 10_000, "computed"),
        ({}, 10_000, "computed"),
    ],
)
async def test_bill_is_what_is_known_best(world, say, fields, cost, source):
    second = add_second(world, models=PRICED, priority=1)
    second.plan = [say.done(**fields)]
    job_id = await world.submit(model="m")
    job = await world.step(job_id)
    assert (job["state"], job["cost_uusd"], job["cost_source"]) == ("succeeded", cost, source)
    assert world.owner.ledger[job_id, 1, "capture"].usage == fields.get("usage", {})


@pytest.mark.parametrize(
    ("usage", "kind", "amount"),
    [({"characters": 501}, "capture", 1_002), ({"credits": 3}, "capture", None), ({}, "release", None)],
)
async def test_failure_that_used_something_is_charged(world, say, usage, kind, amount):
    second = add_second(world, models=PRICED, priority=1)
    second.plan = [say.failed(usage=usage)]
    job_id = await world.submit(model="m")
    assert (await world.step(job_id))["state"] == "failed"
    assert world.owner.kinds(job_id) == [(1, kind)]
    assert world.owner.ledger[job_id, 1, kind].amount_uusd == amount


async def test_lost_submit_is_the_same_work_to_a_provider_that_takes_it_twice_for_once(make_world):
    world = make_world(idempotent=True)
    world.vendor.plan = [ProviderError("no answer")]
    job_id = await world.submit()
    await world.step(job_id)
    world.clock.ms += 60_000
    job = await world.step(job_id)
    assert (job["state"], job["attempt"]) == ("submitted", 2)
    assert dict(world.vendor.submits) == {f"{job_id}-1": 2}


async def test_price_that_nobody_knows_is_not_guessed(world, say):
    second = add_second(world, models=(ModelSpec("m"),), priority=1)
    second.price, second.plan = None, [say.done(usage={"images": 1})]
    job_id = await world.submit(model="m")
    job = await world.step(job_id)
    assert (job["cost_uusd"], job["cost_source"]) == (None, "unknown")


@pytest.mark.parametrize(
    ("url", "state"),
    [
        ("https://cdn.fake.example/a.png", "succeeded"),
        ("https://deep.down.fake.media/a.png", "succeeded"),
        ("https://fake.media/a.png", "failed"),
        ("https://notfake.media/a.png", "failed"),
        ("https://cdn.fake.example@evil.example/a.png", "failed"),
        ("https://cdn.fake.example.evil.example/a.png", "failed"),
        ("http://[::1/a.png", "failed"),
        ("file:///etc/passwd", "failed"),
    ],
)
async def test_files_come_from_the_hosts_of_their_provider_only(world, say, url, state):
    hosts = ("cdn.fake.example", "*.fake.media")
    second = add_second(world, priority=1, file_hosts=hosts)
    second.plan = [say.done(files=(MediaFile(mime="image/png", url=url),), cost_uusd=3)]
    job_id = await world.submit()
    job = await world.step(job_id)
    assert job["state"] == state
    assert bool(world.accepted) == (state == "succeeded")
    assert world.owner.ledger[job_id, 1, "capture"].amount_uusd == 3
