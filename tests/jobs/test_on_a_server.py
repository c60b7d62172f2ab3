"""What the engine asks of the database, on a real server."""

from __future__ import annotations

import asyncio

import pytest

from studio.jobs.store import JOBS_COLLECTION
from studio.providers.services import WebhookNews

pytestmark = pytest.mark.database


async def test_one_job_of_a_user_is_under_way_and_one_of_many_calls_counts(make_world, database, say):
    database.declare([("studio", JOBS_COLLECTION)])
    await database.ensure()
    world = make_world(database=database, user_concurrency=1, public_url="https://studio.example")
    first, second = await world.submit(), await world.submit()
    assert (await world.step(first))["state"] == "submitted"
    assert (await world.step(second))["state"] == "queued"
    job = await world.job(first)
    news = WebhookNews(
        delivery_id="d", provider_job_id=job["provider_job_id"], generation=say.done(cost_uusd=4)
    )
    processes = [world.process(f"p{n}") for n in range(10)]
    answers = await asyncio.gather(*(p.hear("fake", news, job["callback_token"]) for p in processes))
    assert sorted(answers) == ["heard", *["ignored"] * 9]
    assert (await world.step(second))["state"] == "queued"
    assert (await world.step(first))["state"] == "succeeded"
    assert world.accepted == [(first, False)]
    assert world.owner.kinds(first) == [(1, "capture")]
    world.clock.ms += 2_000
    assert (await world.step(second))["state"] == "submitted"


async def test_scanner_finds_nothing_of_a_provider_that_takes_no_more(make_world, database):
    database.declare([("studio", JOBS_COLLECTION)])
    await database.ensure()
    world = make_world(database=database, concurrency=1)
    queued, polled = await world.submit(), await world.submit()
    await world.step(polled)
    world.clock.ms += 60_000
    lanes, polls = world.jobs._machine.lanes, world.jobs._machine.polls
    assert lanes.enter("fake")
    assert polls.enter("fake")
    assert not {queued, polled}.intersection(await world.scan())
    polls.leave("fake")
    assert {queued, polled}.intersection(await world.scan()) == {polled}
    lanes.leave("fake")
    assert queued in await world.scan()
