"""A stop gives back what it cuts: the next process need not wait until a lease runs out."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress

import pytest

from studio.errors import DatabaseUnavailableError
from studio.jobs.scanner import CANCEL_AGAIN_S

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


@pytest.mark.parametrize("backend", ["silent", "deaf", "broken"])
async def test_backend_that_does_not_stop_leaves_no_step_running_behind_its_lease(
    make_world, monkeypatch, backend
):
    """Whatever the engine does, no other process gets a job while its request is still being sent here."""
    world = make_world(stop_s=0.1, lease_s=600)
    job_id, sending, freed, forget = await world.submit(), [], [], asyncio.Event()
    give_back = world.jobs._store.give_back

    async def sends():
        sending.append(job_id)
        try:
            await asyncio.Event().wait()
        finally:
            sending.remove(job_id)

    async def stop():
        if backend == "broken":
            raise OSError("redis")
        try:
            await forget.wait()
        except asyncio.CancelledError:
            if backend == "deaf":
                await forget.wait()
            raise

    async def watched():
        freed.append(list(sending))
        await give_back()

    world.vendor.on_submit = sends
    monkeypatch.setattr(world.bell, "stop", stop)
    monkeypatch.setattr(world.jobs._store, "give_back", watched)
    await world.jobs.start()
    await world.jobs._local.enqueue(job_id)
    async with asyncio.timeout(20):
        while not sending:
            await asyncio.sleep(0)
        with pytest.raises(OSError, match="redis") if backend == "broken" else nullcontext():
            await world.jobs.stop()
    forget.set()
    assert freed == [[]]


async def test_backend_and_own_steps_are_waited_for_side_by_side(make_world, monkeypatch):
    world = make_world(stop_s=20)
    job_id, entered, leave = await world.submit(), asyncio.Event(), asyncio.Event()

    async def sends():
        entered.set()
        await leave.wait()

    async def stop():
        while world.jobs._local._workers:  # this one was told to stop too
            await asyncio.sleep(0)
        leave.set()

    world.vendor.on_submit = sends
    monkeypatch.setattr(world.bell, "stop", stop)
    await world.jobs.start()
    await world.jobs._local.enqueue(job_id)
    async with asyncio.timeout(10):
        await entered.wait()
        await world.jobs.stop()
    assert (await world.job(job_id))["state"] == "submitted"


async def test_stop_that_is_cut_itself_frees_no_job_that_is_still_being_sent(make_world, monkeypatch):
    world = make_world(stop_s=60, lease_s=600)
    job_id, entered, ending, freed = await world.submit(), asyncio.Event(), [], []

    async def sends():
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(CANCEL_AGAIN_S * 3)  # the request is taken back, until it is cut again
            ending.append(job_id)
            raise

    async def watched():
        freed.append(list(ending))

    world.vendor.on_submit = sends
    monkeypatch.setattr(world.jobs._store, "give_back", watched)
    await world.jobs.start()
    await world.jobs._local.enqueue(job_id)
    async with asyncio.timeout(20):
        await entered.wait()
        stop = asyncio.create_task(world.jobs.stop())
        while world.jobs._local._workers:
            await asyncio.sleep(0)
        stop.cancel()
        await asyncio.wait({stop})
    assert freed == [[job_id]]
