from __future__ import annotations

import asyncio

import pytest

from studio.auth import Actor
from studio.errors import DatabaseUnavailableError
from studio.jobs.scanner import LocalDoorbell

pytestmark = pytest.mark.memory
ACTOR = Actor(user_id="ada")


async def until(check, deadline_s=10.0):
    async with asyncio.timeout(deadline_s):
        while not await check():
            await asyncio.sleep(0.005)


async def test_fresh_job_is_left_to_its_ring(world):
    await world.submit()
    assert await world.scan() == []


async def test_job_that_nobody_rang_for_is_found(world):
    job_id = await world.submit()
    world.clock.ms += 2_000
    assert await world.scan() == [job_id]
    assert (await world.job(job_id))["state"] == "submitted"


async def test_job_of_another_version_hides_no_other(world):
    strange, job_id = await world.submit(), await world.submit()
    await world.jobs._store.jobs.update(strange, {"$unset": {"priority": ""}})
    world.clock.ms += 2_000
    assert set(await world.scan()) == {strange, job_id}


async def test_due_poll_is_found(world):
    job_id = await world.submit()
    await world.step(job_id)
    world.clock.ms += 1_000
    assert await world.scan() == [job_id]
    assert (await world.job(job_id))["state"] == "succeeded"
    world.clock.ms += 1_000_000
    assert await world.scan() == []


async def test_backlog_does_not_hide_jobs_under_way(world):
    job_id = await world.submit()
    await world.step(job_id)
    await world.jobs.submit_many(ACTOR, [world.order() for _ in range(150)])
    world.clock.ms += 60_000
    assert job_id in await world.scan()


async def test_paused_queue_keeps_queued_jobs_and_ends_those_under_way(world):
    job_id = await world.submit()
    await world.step(job_id)
    waiting = await world.submit()
    await world.jobs.pause()
    other = world.process("b")
    world.clock.ms += 5_000
    await world.scan(other)
    await other.step(waiting)
    await world.jobs.step(waiting)
    assert (await world.job(job_id))["state"] == "succeeded"
    assert (await world.job(waiting))["state"] == "queued"
    assert await world.jobs.paused()
    await world.jobs.pause(paused=False)
    assert await world.scan(other) == [waiting]
    assert (await world.job(waiting))["state"] == "submitted"


async def test_paused_queue_stays_so_in_a_process_that_starts(world):
    job_id = await world.submit()
    await world.jobs.pause()
    other = world.process("b")
    await other.start()
    await other.step(job_id)
    await other.stop()
    assert (await world.job(job_id))["state"] == "queued"


async def test_doorbell_runs_polls_before_new_jobs_of_any_priority():
    seen, leave = [], asyncio.Event()

    async def step(job_id):
        seen.append(job_id)
        await leave.wait()

    bell = LocalDoorbell(1)
    await bell.start(step)
    await bell.enqueue("busy", 0.0, 9)
    await bell.enqueue("high", 0.0, 5)
    await bell.enqueue("poll", 0.001)
    async with asyncio.timeout(20):
        while bell._timers:
            await asyncio.sleep(0)
        leave.set()
        while len(seen) < 3:
            await asyncio.sleep(0)
    await bell.stop()
    assert seen == ["busy", "poll", "high"]


async def test_doorbell_rings_in_order_and_once():
    seen = []

    async def step(job_id):
        seen.append(job_id)

    bell = LocalDoorbell(1)
    await bell.start(step)
    for job_id, priority in (("low", -1), ("high", 5), ("high", 5), ("normal", 0)):
        await bell.enqueue(job_id, 0.0, priority)
    while len(seen) < 3:
        await asyncio.sleep(0)
    await bell.stop()
    assert seen == ["high", "normal", "low"]


async def test_doorbell_stops_after_the_running_step():
    entered, leave, ended = asyncio.Event(), asyncio.Event(), []

    async def step(job_id):
        entered.set()
        await leave.wait()
        ended.append(job_id)

    bell = LocalDoorbell(2)
    await bell.start(step)
    await bell.enqueue("a")
    await bell.enqueue("later", 60.0)
    await entered.wait()
    stop = asyncio.create_task(bell.stop())
    await asyncio.sleep(0)
    leave.set()
    await stop
    assert ended == ["a"]


async def test_doorbell_without_workers_rings_for_nobody():
    bell = LocalDoorbell(1)
    await bell.start(None)
    await bell.enqueue("a", 1.0)
    assert bell._timers == {}
    await bell.stop()


async def test_jobs_run_by_themselves_without_an_engine(make_world, say):
    world = make_world(scan_s=0.01)
    world.jobs.backend = None
    world.vendor.plan = [say.done() for _ in range(20)]
    await world.jobs.start()
    jobs = await world.jobs.submit_many(ACTOR, [world.order() for _ in range(20)])

    async def all_done():
        return await world.database["jobs"].count({"state": "succeeded"}) == len(jobs)

    await until(all_done)
    await world.jobs.stop()


async def test_scanner_feeds_the_workers_while_the_engine_is_silent(make_world, say):
    world = make_world(scan_s=0.01)
    await world.jobs.start()
    world.vendor.plan = [say.done()]
    job_id = await world.submit()
    assert (await world.job(job_id))["state"] == "queued"
    world.clock.ms += 2_000

    async def done():
        return (await world.job(job_id))["state"] == "succeeded"

    await until(done)
    await world.jobs.stop()


async def test_scanner_goes_on_after_the_database_was_away(make_world, monkeypatch, say):
    world = make_world(scan_s=0.01)
    repository = world.database["jobs"]
    find, outages = repository.find, 3

    async def flaky(*args, **kwargs):
        nonlocal outages
        outages -= 1
        if outages >= 0:
            raise DatabaseUnavailableError("away")
        return await find(*args, **kwargs)

    world.vendor.plan = [say.done()]
    job_id = await world.submit()
    monkeypatch.setattr(repository, "find", flaky)
    world.clock.ms += 2_000
    await world.jobs.start()

    async def done():
        return (await world.job(job_id))["state"] == "succeeded"

    await until(done)
    await world.jobs.stop()


async def test_start_takes_over_from_a_dead_process_at_once(make_world, monkeypatch):
    world = make_world(idempotent=True, scan_s=0.01)
    monkeypatch.setattr("studio.jobs.store._dead", lambda owner: owner == "host-a:1:1")
    job_id = await world.submit()
    job = await world.job(job_id)
    await world.jobs._store.change(job, "claimed", world.jobs._store.leased() | {"sent": 1})
    successor = world.process("b")
    await successor.start()

    async def taken():
        return (await world.job(job_id))["state"] == "queued"

    await until(taken)
    await successor.stop()


async def test_server_that_is_no_worker_only_takes_orders(make_world):
    world = make_world(worker=False)
    world.jobs.backend = None
    await world.jobs.start()
    job_id = await world.submit()
    assert world.jobs._scanning is None
    assert world.jobs._local._queue.empty()
    assert (await world.job(job_id))["state"] == "queued"
    await world.jobs.stop()


async def test_ring_that_meets_a_busy_job_is_rung_again(world):
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow():
        entered.set()
        await leave.wait()

    world.vendor.on_submit = slow
    job_id = await world.submit()
    world.bell.rings.clear()
    step = asyncio.create_task(world.jobs.step(job_id))
    await entered.wait()
    await world.jobs.step(job_id)
    assert world.bell.rings == []
    leave.set()
    await step
    assert (job_id, 0.0) in world.bell.rings


async def test_stop_ends_a_scanner_that_has_lost_a_cancellation(world, monkeypatch):
    lost = []

    async def deaf():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost:  # the first goes, as in `wait_for` of Python 3.11 when its future is done already
                    raise
                lost.append(1)

    monkeypatch.setattr(world.jobs._scanner, "run", deaf)
    await world.jobs.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await world.jobs.stop()
    assert lost
