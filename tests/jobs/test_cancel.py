from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from studio.errors import (
    BudgetExceededError,
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
)
from studio.jobs.contract import CostDecision

pytestmark = pytest.mark.memory


@pytest.fixture
def gate(world):
    """A vendor that answers a submit only when the gate is open."""

    gate = SimpleNamespace(entered=asyncio.Event(), leave=asyncio.Event())

    async def hold():
        gate.entered.set()
        await gate.leave.wait()

    world.vendor.on_submit = hold
    return gate


async def test_queued_job_is_cancelled_at_once_and_released(world):
    job_id = await world.submit()
    assert (await world.jobs.cancel(job_id))["state"] == "cancelled"
    await world.play()
    assert not world.vendor.submits
    assert world.owner.kinds(job_id) == [(1, "release")]
    assert "next_at" not in await world.job(job_id)


async def test_submitted_job_is_cancelled_at_its_provider(world, say):
    world.vendor.answers = [say.failed("cancelled")]
    job_id = await world.submit()
    await world.step(job_id)
    assert (await world.jobs.cancel(job_id))["state"] == "cancelling"
    job = await world.step(job_id)
    assert job["state"] == "cancelled"
    assert world.vendor.cancels == [f"v-{job_id}-1"]
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job.get("next_at")) == ("cancelled", None)
    assert world.owner.kinds(job_id) == [(1, "release")]


async def test_late_success_of_a_cancelled_job_is_kept_and_paid(world, say):
    world.vendor.answers = [say.running(), say.done(cost_uusd=11)]
    job_id = await world.submit()
    await world.step(job_id)
    await world.jobs.cancel(job_id)
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["cost_uusd"]) == ("cancelled", 11)
    assert world.accepted == [(job_id, True)]
    assert job["result_asset_ids"] == [f"asset-{job_id}"]
    assert world.owner.kinds(job_id) == [(1, "capture")]


async def test_cancel_during_submit_waits_for_the_id_and_tells_the_provider(world, gate, say):
    world.vendor.answers = [say.failed("cancelled")]
    job_id = await world.submit()
    step = asyncio.create_task(world.jobs.step(job_id))
    await gate.entered.wait()
    assert (await world.jobs.cancel(job_id))["state"] == "cancelling"
    await world.jobs.step(job_id)
    await world.process("b").step(job_id)
    assert (await world.job(job_id))["state"] == "cancelling"
    gate.leave.set()
    await step
    assert (await world.job(job_id))["state"] == "cancelled"
    assert world.vendor.cancels == [f"v-{job_id}-1"]
    await world.play()
    assert world.owner.kinds(job_id) == [(1, "release")]


async def test_success_that_meets_a_cancel_is_kept_as_late(world, gate, say):
    world.vendor.plan = [say.done(cost_uusd=3)]
    job_id = await world.submit()
    step = asyncio.create_task(world.jobs.step(job_id))
    await gate.entered.wait()
    await world.jobs.cancel(job_id)
    gate.leave.set()
    await step
    await world.play()
    assert (await world.job(job_id))["state"] == "cancelled"
    assert world.accepted == [(job_id, True)]
    assert world.vendor.cancels == []
    assert world.owner.kinds(job_id) == [(1, "capture")]


@pytest.mark.parametrize(
    ("error", "kind"), [(ProviderError("busy"), "release"), (OutcomeUnknownError("?"), "capture")]
)
async def test_submit_that_fails_after_a_cancel_settles_by_what_was_sent(world, gate, error, kind):
    world.vendor.plan = [error]
    job_id = await world.submit()
    step = asyncio.create_task(world.jobs.step(job_id))
    await gate.entered.wait()
    await world.jobs.cancel(job_id)
    gate.leave.set()
    await step
    assert (await world.job(job_id))["state"] == "cancelled"
    assert world.owner.kinds(job_id) == [(1, kind)]


async def test_cancel_against_finalise_has_one_winner(world):
    for _ in range(20):
        job_id = await world.submit()
        job = await world.step(job_id)
        generation = await world.vendor.poll(job["provider_job_id"])
        await asyncio.gather(
            world.jobs.cancel(job_id), world.jobs._machine._advance(job, generation), return_exceptions=True
        )
        await world.play()
        assert (await world.job(job_id))["state"] in ("succeeded", "cancelled")
        assert len([found for found, _ in world.accepted if found == job_id]) == 1
        assert world.owner.kinds(job_id) == [(1, "capture")]


async def test_ended_job_cannot_be_cancelled(world):
    job_id = await world.submit()
    await world.play()
    with pytest.raises(ConflictError, match="succeeded"):
        await world.jobs.cancel(job_id)


async def test_cancel_twice_is_the_same(world):
    job_id = await world.submit()
    await world.jobs.cancel(job_id)
    seq = (await world.job(job_id))["state_seq"]
    assert (await world.jobs.cancel(job_id))["state_seq"] == seq


async def test_unknown_job_is_not_found(world):
    with pytest.raises(NotFoundError):
        await world.jobs.cancel("nope")
    with pytest.raises(NotFoundError):
        await world.jobs.get("queue")


async def test_cancel_that_the_provider_cannot_hear_is_followed_to_its_end(world, say, monkeypatch):
    async def deaf(provider_job_id):
        raise ProviderError("502")

    monkeypatch.setattr(world.vendor, "cancel", deaf)
    world.vendor.answers = [say.running(), say.running(), say.done()]
    job_id = await world.submit()
    await world.step(job_id)
    await world.jobs.cancel(job_id)
    await world.play()
    assert world.accepted == [(job_id, True)]


async def test_pending_jobs_of_a_batch_are_cancelled_only(world):
    first = await world.submit(batch_id="b1")
    await world.step(first)
    others = [await world.submit(batch_id="b1") for _ in range(3)]
    outside = await world.submit()
    assert await world.jobs.cancel_pending(batch_id="b1") == 3
    assert {(await world.job(job_id))["state"] for job_id in others} == {"cancelled"}
    assert (await world.job(first))["state"] == "submitted"
    assert (await world.job(outside))["state"] == "queued"
    assert await world.jobs.cancel_pending(project_id="p1") == 1


async def test_failed_job_is_retried_as_another_attempt(world, say):
    world.vendor.answers = [say.failed()]
    job_id = await world.submit()
    await world.play()
    job = await world.jobs.retry(job_id)
    assert (job["state"], job["attempt"]) == ("queued", 2)
    assert "error" not in job
    await world.play()
    job = await world.job(job_id)
    assert job["state"] == "succeeded"
    assert world.owner.kinds(job_id) == [(1, "release"), (2, "capture")]


async def test_unknown_charge_is_retried_when_the_user_says_so(world):
    world.vendor.plan = [OutcomeUnknownError("timeout")]
    job_id = await world.submit()
    await world.play()
    await world.jobs.retry(job_id)
    await world.play()
    assert (await world.job(job_id))["state"] == "succeeded"
    assert world.owner.kinds(job_id) == [(1, "capture"), (2, "capture")]


async def test_refused_retry_raises_and_leaves_the_job_failed(world, say):
    world.vendor.answers = [say.failed()]
    job_id = await world.submit()
    await world.play()
    world.owner.hold = CostDecision(allowed=False, reason="used up")
    with pytest.raises(BudgetExceededError, match="used up"):
        await world.jobs.retry(job_id)
    assert (await world.job(job_id))["state"] == "failed"


async def test_running_job_cannot_be_retried(world):
    job_id = await world.submit()
    with pytest.raises(ConflictError, match="queued"):
        await world.jobs.retry(job_id)


async def test_cancelled_job_is_retried_once_its_end_is_known(world, say):
    world.vendor.answers = [say.failed("cancelled")]
    job_id = await world.submit()
    await world.step(job_id)
    await world.jobs.cancel(job_id)
    await world.step(job_id)
    with pytest.raises(ConflictError, match="not settled"):
        await world.jobs.retry(job_id)
    await world.play()
    await world.jobs.retry(job_id)
    await world.play()
    assert (await world.job(job_id))["state"] == "succeeded"
