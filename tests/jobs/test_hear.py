from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from studio.auth import Actor
from studio.errors import OutcomeUnknownError, UnauthenticatedError
from studio.providers.services import WebhookNews

pytestmark = pytest.mark.memory


def news(job_id, generation=None, attempt=1):
    return WebhookNews(delivery_id="d", provider_job_id=f"v-{job_id}-{attempt}", generation=generation)


async def submitted(world, **fields):
    job_id = await world.submit(**fields)
    await world.step(job_id)
    return job_id


async def test_call_without_an_answer_polls_before_the_time(world):
    job_id = await submitted(world)
    assert await world.jobs.hear("fake", news(job_id)) == "heard"
    assert (await world.step(job_id))["state"] == "succeeded"
    assert await world.jobs.hear("fake", news(job_id)) == "ignored"
    assert await world.jobs.hear("fake", news("nobody")) == "unknown"
    assert await world.jobs.hear("other", news(job_id)) == "unknown"
    assert await world.jobs.hear("fake", WebhookNews(delivery_id="d")) == "unknown"


async def test_success_is_believed_and_nobody_polls(world, say):
    job_id = await submitted(world)
    assert await world.jobs.hear("fake", news(job_id, say.done(cost_uusd=7))) == "heard"
    assert (await world.job(job_id))["state"] == "finalizing"
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["cost_uusd"], job["provider_job_id"]) == ("succeeded", 7, f"v-{job_id}-1")
    assert not world.vendor.polls
    assert world.accepted == [(job_id, False)]


async def test_failure_is_believed_and_names_the_input(world, say):
    job_id = await submitted(world)
    assert await world.jobs.hear("fake", news(job_id, say.failed())) == "heard"
    job = await world.job(job_id)
    assert (job["state"], job["error"]["input"]) == ("failed", "prompt")
    assert world.owner.kinds(job_id) == [(1, "release")]


async def test_running_after_the_end_changes_nothing(world, say):
    job_id = await submitted(world)
    await world.jobs.hear("fake", news(job_id, say.done()))
    before = await world.job(job_id)
    assert await world.jobs.hear("fake", news(job_id, say.running(percent=10))) == "ignored"
    assert await world.job(job_id) == before
    await world.play()
    before = await world.job(job_id)
    for late in (say.running(percent=10), say.failed(), None):
        assert await world.jobs.hear("fake", news(job_id, late)) == "ignored"
    assert await world.job(job_id) == before


async def test_progress_that_was_overtaken_takes_nothing_back(world, say):
    job_id = await submitted(world)
    assert await world.jobs.hear("fake", news(job_id, say.running(percent=60))) == "heard"
    assert await world.jobs.hear("fake", news(job_id, say.running(percent=30))) == "heard"
    assert (await world.job(job_id))["progress"]["pct"] == 60
    assert [job["progress"]["pct"] for job in world.owner.told][-1] == 60


async def test_fifty_copies_and_polls_at_once_have_one_effect(world, say):
    job_id = await submitted(world)
    world.clock.ms += 1_000
    calls = [world.jobs.hear("fake", news(job_id, say.done(cost_uusd=3))) for _ in range(50)]
    polls = [world.process(f"p{n}").step(job_id) for n in range(10)]
    heard = [answer for answer in await asyncio.gather(*calls, *polls) if answer is not None]
    assert heard.count("heard") <= 1
    await world.play()
    assert (await world.job(job_id))["state"] == "succeeded"
    assert world.accepted == [(job_id, False)]
    assert world.owner.kinds(job_id) == [(1, "capture")]


async def test_retry_and_a_late_call_of_the_old_attempt_do_not_mix(world, say):
    world.vendor.answers = [say.failed()]
    job_id = await submitted(world)
    await world.play()
    await world.jobs.retry(job_id)
    await world.step(job_id)
    assert await world.jobs.hear("fake", news(job_id, say.done())) == "unknown"
    assert await world.jobs.hear("fake", news(job_id, say.done(), attempt=2)) == "heard"
    await world.play()
    assert world.owner.kinds(job_id) == [(1, "release"), (2, "capture")]


async def test_late_success_of_a_cancelled_job_is_kept_paid_and_told(world, say):
    job_id = await submitted(world)
    await world.jobs.cancel(job_id)
    assert await world.jobs.hear("fake", news(job_id, say.done())) == "unknown"  # the vendor is being told
    await world.step(job_id)
    assert await world.jobs.hear("fake", news(job_id, say.done(cost_uusd=11))) == "heard"
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job["cost_uusd"], job["result_asset_ids"]) == ("cancelled", 11, [f"asset-{job_id}"])
    assert world.accepted == [(job_id, True)]
    assert world.owner.told[-1]["state"] == "cancelled"
    assert await world.jobs.hear("fake", news(job_id, say.done())) == "ignored"
    assert world.owner.kinds(job_id) == [(1, "capture")]


async def test_end_of_a_cancelled_job_is_taken_from_the_call(world, say):
    job_id = await submitted(world)
    await world.jobs.cancel(job_id)
    await world.step(job_id)
    assert await world.jobs.hear("fake", news(job_id, say.failed("cancelled"))) == "heard"
    job = await world.job(job_id)
    assert (job["state"], job.get("next_at")) == ("cancelled", None)
    assert world.owner.kinds(job_id) == [(1, "release")]


async def test_call_that_comes_before_its_id_is_stored_is_unknown(world, say):
    job_id = await world.submit()
    answers = []

    async def early():
        answers.append(await world.jobs.hear("fake", news(job_id, say.done())))

    world.vendor.on_submit = early
    await world.step(job_id)
    assert answers == ["unknown"]
    assert await world.jobs.hear("fake", news(job_id, say.done())) == "heard"


async def test_job_of_a_plugin_that_is_off_is_heard_later(world, say):
    job_id = await submitted(world)
    kinds, world.jobs._machine.kinds = world.jobs._machine.kinds, {}
    assert await world.jobs.hear("fake", news(job_id, say.done())) == "unknown"
    world.jobs._machine.kinds = kinds
    assert await world.jobs.hear("fake", news(job_id, say.done())) == "heard"


async def test_every_attempt_carries_its_own_address(make_world, say):
    world = make_world(public_url="https://studio.example")
    world.vendor.plan = [say.running()]
    job_id = await submitted(world)
    address = urlsplit(world.vendor.requests[0].callback_url)
    query = parse_qs(address.query)
    assert f"{address.scheme}://{address.netloc}{address.path}" == "https://studio.example/api/webhooks/fake"
    assert (query["job"], query["attempt"]) == ([job_id], ["1"])
    (token,) = query["token"]
    assert len(token) >= 32
    for wrong in (f"{token[:-1]}é", "", token[:-1]):
        with pytest.raises(UnauthenticatedError):
            await world.jobs.hear("fake", news(job_id, say.done()), wrong)
    assert (await world.job(job_id))["state"] == "submitted"
    assert await world.jobs.hear("fake", news(job_id, say.done()), token) == "heard"
    other = await submitted(world)
    assert (await world.job(other))["callback_token"] != token


async def test_token_for_a_job_that_never_had_one_is_refused(world, say):
    job_id = await submitted(world)
    assert world.vendor.requests[0].callback_url is None
    with pytest.raises(UnauthenticatedError):
        await world.jobs.hear("fake", news(job_id, say.done()), "")


async def test_flagged_job_is_not_revived_by_a_call(world, say):
    world.vendor.plan = [OutcomeUnknownError("timeout")]
    job_id = await submitted(world)
    assert await world.jobs.hear("fake", news(job_id, say.done())) == "unknown"
    assert (await world.job(job_id))["state"] == "failed"


async def test_key_that_ordered_a_job_is_held_with_it(world):
    key = Actor("ada", "api_key", "key-1")
    job = await world.jobs.submit(key, world.order())
    assert job["api_key_id"] == "key-1"
    await world.submit()
    assert [hold.api_key_id for hold in world.owner.held] == ["key-1", None]


async def test_usage_is_settled_with_the_cost(world, say):
    world.vendor.plan = [say.done(cost_uusd=3, usage={"images": 1})]
    job_id = await submitted(world)
    assert world.owner.ledger[job_id, 1, "capture"].usage == {"images": 1}
