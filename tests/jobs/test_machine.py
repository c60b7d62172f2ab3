from __future__ import annotations

import asyncio

import pytest

from studio.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    RateLimitedError,
    StorageFullError,
)
from studio.jobs.contract import TERMINAL, CostDecision

pytestmark = pytest.mark.memory


async def test_polled_job_succeeds_with_its_result_and_cost(world, say):
    world.vendor.answers = [say.running(percent=40), say.done(cost_uusd=30_000)]
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert job["state"] == "succeeded"
    assert job["result_asset_ids"] == [f"asset-{job_id}"]
    assert (job["cost_uusd"], job["cost_source"]) == (30_000, "reported")
    assert world.owner.kinds(job_id) == [(1, "capture")]
    assert not {"next_at", "lease_owner", "generation", "bill"} & job.keys()


async def test_states_come_in_order_with_one_sequence_number_each(world):
    job_id = await world.submit()
    await world.play()
    told = [(job["state"], job["state_seq"]) for job in world.owner.told if job["_id"] == job_id]
    assert told == [("queued", 2), ("claimed", 3), ("submitted", 4), ("finalizing", 5), ("succeeded", 6)]


async def test_immediate_answer_takes_five_writes(world, say, monkeypatch):
    writes = []
    repository = world.database["jobs"]
    for name in ("insert_many", "update", "find_and_update"):
        original = getattr(repository, name)

        async def counted(*args, _original=original, _name=name, **kwargs):
            writes.append(_name)
            return await _original(*args, **kwargs)

        monkeypatch.setattr(repository, name, counted)
    world.vendor.plan = [say.done()]
    job_id = await world.submit()
    await world.play()
    assert (await world.job(job_id))["state"] == "succeeded"
    assert len(writes) == 5


async def test_provider_job_id_is_stored_before_the_first_poll(world):
    job_id = await world.submit()
    await world.jobs.step(job_id)
    job = await world.job(job_id)
    assert (job["state"], job["provider_job_id"]) == ("submitted", f"v-{job_id}-1")
    assert not world.vendor.polls


async def test_request_carries_one_id_per_attempt(world, say):
    world.vendor.plan = [ProviderError("busy"), say.done()]
    job_id = await world.submit()
    await world.play()
    assert set(world.vendor.submits) == {f"{job_id}-1", f"{job_id}-2"}


async def test_poll_before_its_time_asks_nobody(world):
    job_id = await world.submit()
    await world.step(job_id)
    await world.step(job_id)
    assert not world.vendor.polls


async def test_two_rings_at_once_poll_once(world, say):
    job_id = await world.submit()
    await world.step(job_id)
    world.clock.ms += 1_000
    world.vendor.answers = [say.running()]
    others = [world.process(f"p{n}") for n in range(5)]
    await asyncio.gather(*(other.step(job_id) for other in others))
    assert sum(world.vendor.polls.values()) == 1


async def test_poll_delays_grow_to_ten_times(world, say):
    world.vendor.answers = [say.running()] * 12
    await world.submit()
    delays = []
    for _ in range(12):
        job_id, delay = world.bell.rings.pop(0)
        delays.append(delay)
        world.clock.ms += int(delay * 1000)
        await world.jobs.step(job_id)
    assert delays[:4] == [0.0, 1.0, 1.0, 1.5]
    assert max(delays) == 10.0


async def test_vendor_sets_the_time_of_the_next_poll(world, say):
    world.vendor.plan = [say.running(retry_after_s=25.0)]
    await world.submit()
    await world.jobs.step(world.bell.rings.pop(0)[0])
    assert world.bell.rings[0][1] == 25.0


@pytest.mark.parametrize(("said", "kept"), [(86_400.0, 60.0), (-5.0, 1.0), (0.0, 1.0)])
async def test_vendor_cannot_put_a_job_off_for_ever_or_hurry_it(world, say, said, kept):
    world.vendor.plan = [say.running(retry_after_s=said, percent=900)]
    job_id = await world.submit()
    await world.jobs.step(world.bell.rings.pop(0)[0])
    assert world.bell.rings[0][1] == kept
    assert (await world.job(job_id))["progress"]["pct"] == 100


async def test_progress_is_written_in_tens_and_told_in_ones(world, say):
    world.vendor.answers = [say.running(percent=3), say.running(percent=15), say.running(percent=20)]
    job_id = await world.submit()
    stored = []
    for _ in range(5):
        ring, delay = world.bell.rings.pop(0)
        world.clock.ms += int(delay * 1000)
        await world.jobs.step(ring)
        stored.append((await world.job(job_id))["progress"]["pct"])
    assert stored == [0, 0, 15, 15, 100]
    told = [job["progress"]["pct"] for job in world.owner.told if job["state"] == "submitted"]
    assert told == [0, 3, 15, 20]


async def test_one_of_fifty_concurrent_finalises_wins(world):
    job_id = await world.submit()
    job = await world.step(job_id)
    generation = await world.vendor.poll(job["provider_job_id"])
    others = [world.process(f"p{n}") for n in range(50)]
    await asyncio.gather(*(other._machine._advance(dict(job), generation) for other in others))
    assert world.accepted == [(job_id, False)]
    assert (await world.job(job_id))["state"] == "succeeded"
    assert world.owner.kinds(job_id) == [(1, "capture")]


async def test_one_of_twenty_claims_submits(world):
    job_id = await world.submit()
    others = [world.process(f"p{n}") for n in range(20)]
    await asyncio.gather(*(other.step(job_id) for other in others))
    assert world.vendor.submits == {f"{job_id}-1": 1}


async def test_vendor_failure_fails_and_releases(world, say):
    world.vendor.answers = [say.failed("content_policy")]
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert job["state"] == "failed"
    assert job["error"] == {"code": "content_policy", "message": "No.", "retryable": False, "input": "prompt"}
    assert world.owner.kinds(job_id) == [(1, "release")]


async def test_vendor_failure_that_was_billed_is_captured(world, say):
    world.vendor.answers = [say.failed(cost_uusd=5_000)]
    job_id = await world.submit()
    await world.play()
    assert world.owner.ledger[job_id, 1, "capture"].amount_uusd == 5_000


async def test_retryable_failure_holds_and_settles_each_attempt(world, say):
    world.vendor.answers = [say.failed("overloaded", retryable=True), say.done(cost_uusd=7)]
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert [attempt["error"]["code"] for attempt in job["attempts"]] == ["overloaded"]
    assert job["attempts"][0]["provider_job_id"] == f"v-{job_id}-1"
    assert [hold.attempt for hold in world.owner.held] == [1, 2]
    assert world.owner.kinds(job_id) == [(1, "release"), (2, "capture")]


async def test_attempts_end_with_the_last_error(world, say):
    world.vendor.answers = [say.failed("overloaded", retryable=True) for _ in range(9)]
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["attempt"], job["error"]["code"]) == ("failed", 3, "overloaded")


async def test_pause_between_attempts_doubles(world, say):
    world.vendor.plan = [ProviderError("busy") for _ in range(3)]
    job_id = await world.submit()
    pauses = []
    for _ in range(3):
        await world.jobs.step(job_id)
        if world.bell.rings[1:]:
            pauses.append(world.bell.rings.pop()[1])
            world.clock.ms += int(pauses[-1] * 1000)
    assert 1.0 <= pauses[0] <= 2.0 <= pauses[1] <= 4.0


@pytest.mark.parametrize(
    ("error", "attempts", "code"),
    [
        (ProviderError("502"), 3, "provider_failed"),
        (RateLimitedError("slow down", retry_after=7), 3, "rate_limited"),
        (ProviderRejectedError("bad size"), 1, "provider_rejected"),
        (OutcomeUnknownError("timeout"), 1, "interrupted_unknown_charge"),
        (NotFoundError("no such model"), 1, "not_found"),
        (ProviderUnavailableError("set STUDIO_FAKE__API_KEY"), 1, "provider_unavailable"),
    ],
)
async def test_error_of_submit_decides_about_attempts(world, error, attempts, code):
    world.vendor.plan = [error] * 3
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["attempt"], job["error"]["code"]) == ("failed", attempts, code)
    assert sum(world.vendor.submits.values()) == attempts


async def test_unknown_outcome_captures_an_unknown_amount(world):
    world.vendor.plan = [OutcomeUnknownError("timeout")]
    job_id = await world.submit()
    await world.play()
    settled = world.owner.ledger[job_id, 1, "capture"]
    assert (settled.amount_uusd, settled.source) == (None, "unknown")


async def test_rate_limit_is_waited_for(world, say):
    world.vendor.plan = [RateLimitedError("later", retry_after=33), say.done()]
    job_id = await world.submit()
    await world.jobs.step(job_id)
    assert world.bell.rings[-1] == (job_id, pytest.approx(35.5, abs=2.5))  # never sooner, and not all at once


async def test_open_circuit_keeps_the_attempt(world, say):
    world.vendor.plan = [ProviderUnavailableError("open", retry_after=4), say.done()]
    job_id = await world.submit()
    await world.jobs.step(job_id)
    job = await world.job(job_id)
    assert (job["state"], job["attempt"], job["sent"]) == ("queued", 1, 0)
    world.bell.rings.pop(0)
    await world.play()
    assert (await world.job(job_id))["state"] == "succeeded"


async def test_poll_error_is_asked_again_not_submitted_again(world, say):
    world.vendor.answers = [ProviderError("502"), ProviderError("502"), say.done()]
    job_id = await world.submit()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert sum(world.vendor.submits.values()) == 1


async def test_lost_id_of_a_paid_provider_fails(world):
    job_id = await world.submit()
    await world.step(job_id)
    world.vendor.known.clear()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "provider_rejected")
    assert world.owner.ledger[job_id, 1, "capture"].amount_uusd is None


async def test_lost_id_of_a_repeatable_provider_starts_the_same_attempt_again(local):
    job_id = await local.submit()
    await local.step(job_id)
    local.vendor.known.clear()
    await local.play()
    job = await local.job(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert local.vendor.submits == {f"{job_id}-1": 2}


async def test_deadline_ends_a_job_that_runs_for_ever(world, say):
    world.vendor.answers = [say.running()] * 200
    job_id = await world.submit()
    await world.play(limit=200)
    job = await world.job(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "deadline_exceeded")
    assert world.vendor.cancels == [f"v-{job_id}-1"]


async def test_request_error_fails_before_anything_is_sent(world):
    job_id = await world.submit()

    async def gone():
        raise NotFoundError("The shot was deleted.")

    world.on_request = gone
    job = await world.step(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "not_found")
    assert not world.vendor.submits
    assert world.owner.kinds(job_id) == [(1, "release")]


async def test_bug_in_a_kind_fails_after_three_steps(world):
    job_id = await world.submit()

    async def bug():
        raise KeyError("oops")

    world.on_request = bug
    for _ in range(4):
        await world.jobs.step(job_id)
    job = await world.job(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "crashed")
    assert "KeyError" in job["error"]["message"]


async def test_full_storage_keeps_the_result_until_there_is_room(world, say):
    world.vendor.plan = [say.done(cost_uusd=9)]

    async def full():
        raise StorageFullError("no room")

    world.on_accept = full
    job_id = await world.submit()
    for _ in range(6):
        await world.jobs.step(job_id)
        world.clock.ms += 5_000
    assert (await world.job(job_id))["state"] == "finalizing"
    world.on_accept = None
    await world.scan()
    job = await world.job(job_id)
    assert (job["state"], job["cost_uusd"]) == ("succeeded", 9)
    assert sum(world.vendor.submits.values()) == 1


async def test_worker_that_was_overtaken_takes_nobody_the_lease(world, say):
    world.vendor.plan = [say.done(cost_uusd=9)]

    async def overtaken():
        taken = {"$set": {"lease_owner": "another"}, "$inc": {"state_seq": 1}}
        await world.database["jobs"].update(job_id, taken)
        raise StorageFullError("no room")

    world.on_accept = overtaken
    job_id = await world.submit()
    await world.jobs.step(job_id)
    assert (await world.job(job_id))["lease_owner"] == "another"


async def test_result_that_cannot_be_accepted_is_paid_for(world, say):
    world.vendor.plan = [say.done(cost_uusd=9)]

    async def refused():
        raise NotFoundError("The project was deleted.")

    world.on_accept = refused
    job_id = await world.submit()
    job = await world.step(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "not_found")
    assert world.owner.ledger[job_id, 1, "capture"].amount_uusd == 9


async def test_open_settlement_is_repeated_until_recorded(world, say):
    world.vendor.plan = [say.failed()]
    world.owner.settles = None
    job_id = await world.submit()
    job = await world.step(job_id)
    assert job["state"] == "failed"
    assert job["bill"]["kind"] == "release"
    world.owner.settles = True
    world.clock.ms += 60_000
    await world.scan()
    job = await world.job(job_id)
    assert "bill" not in job
    assert world.owner.kinds(job_id) == [(1, "release")]


async def test_next_attempt_waits_for_an_owner_of_cost_that_is_away(world, say):
    world.vendor.plan = [ProviderError("busy"), say.done()]
    job_id = await world.submit()
    world.owner.settles = None
    await world.jobs.step(job_id)
    assert (await world.job(job_id))["state"] == "waiting"
    world.owner.settles = True
    world.clock.ms += 20_000
    await world.scan()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)


async def test_refused_second_attempt_fails_the_job(world):
    world.vendor.plan = [ProviderError("busy")]
    job_id = await world.submit()
    world.owner.hold = CostDecision(allowed=False, reason="The day's budget is used up.")
    job = await world.step(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "budget_exceeded")
    assert sum(world.vendor.submits.values()) == 1


async def test_unknown_price_stays_unknown(world, say):
    world.vendor.price = None
    world.vendor.plan = [say.done()]
    job_id = await world.submit()
    job = await world.step(job_id)
    assert (job["cost_uusd"], job["cost_source"]) == (None, "unknown")
    assert world.owner.held[0].amount_uusd is None


async def test_declared_price_is_captured_as_computed(world, say):
    world.vendor.plan = [say.done()]
    job_id = await world.submit()
    job = await world.step(job_id)
    assert (job["cost_uusd"], job["cost_source"]) == (40_000, "computed")


async def test_job_of_a_plugin_that_is_off_waits(world):
    job_id = await world.submit()
    world.jobs._machine.kinds.clear()
    world.clock.ms += 10_000
    assert await world.scan() == [job_id]
    assert await world.scan() == []
    assert (await world.job(job_id))["state"] == "queued"


async def test_terminal_jobs_never_change(world, say):
    world.vendor.plan = [say.done(), say.failed(), ProviderRejectedError("no")]
    ids = [await world.submit() for _ in range(3)]
    await world.play()
    before = [await world.job(job_id) for job_id in ids]
    assert all(job["state"] in TERMINAL for job in before)
    for job_id in ids:
        await world.jobs.step(job_id)
    assert [await world.job(job_id) for job_id in ids] == before
