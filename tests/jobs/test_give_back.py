"""A stop gives back what it cuts: the next process need not wait until a lease runs out."""

from __future__ import annotations

import asyncio

import pytest

from studio.errors import DatabaseUnavailableError

pytestmark = pytest.mark.memory


async def stopped_in_the_middle(world, job_id):
    """Work on a job whose vendor never answers, and stop."""
    entered = asyncio.Event()

    async def never():
        entered.set()
        await asyncio.Event().wait()

    world.vendor.on_submit = never
    await world.jobs.start()
    await world.jobs._local.enqueue(job_id)
    async with asyncio.timeout(20):
        await entered.wait()
        await world.jobs.stop()
    world.vendor.on_submit = None


async def test_a_step_that_is_cut_gives_its_lease_back_and_another_machine_goes_on_at_once(make_world, say):
    world = make_world(idempotent=True, stop_s=0.1, lease_s=600)
    job_id = await world.submit()
    await stopped_in_the_middle(world, job_id)
    left = await world.job(job_id)
    assert (left["state"], left["next_at"]) == ("claimed", world.clock.ms)
    assert "lease_owner" not in left
    world.vendor.plan = [say.done()]
    other = world.process("b")
    while (await world.step(job_id, other))["state"] != "succeeded":
        world.clock.ms += 3_000
    assert len(world.accepted) == 1


async def test_a_step_that_is_cut_while_it_was_sent_is_not_sent_again(make_world):
    world = make_world(stop_s=0.1, lease_s=600)
    job_id = await world.submit()
    await stopped_in_the_middle(world, job_id)
    job = await world.step(job_id, world.process("b"))
    assert (job["state"], job["error"]["code"]) == ("failed", "interrupted_unknown_charge")
    assert sum(world.vendor.submits.values()) == 1


async def test_a_stop_leaves_the_leases_of_others_alone(make_world):
    world = make_world(stop_s=0.1)
    other = world.process("b")
    job_id = await world.submit()
    await world.database["jobs"].update(job_id, {"$set": other._store.leased() | {"state": "claimed"}})
    before = await world.job(job_id)
    await world.jobs.start()
    await world.jobs.stop()
    assert await world.job(job_id) == before


async def test_a_stop_without_a_database_ends_all_the_same(make_world, monkeypatch):
    world = make_world(stop_s=0.1)

    async def away(*_, **__):
        raise DatabaseUnavailableError

    await world.jobs.start()
    monkeypatch.setattr(world.database["jobs"], "update", away)
    await world.jobs.stop()
