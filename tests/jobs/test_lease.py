from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from studio.jobs import store

pytestmark = pytest.mark.memory


def expired(world, owner="host-b:1:1"):
    return {"_id": "j1", "lease_owner": owner, "next_at": world.clock() - 1}


async def test_living_lease_is_left_alone(world):
    job_id = await world.submit()
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow():
        entered.set()
        await leave.wait()

    world.vendor.on_submit = slow
    step = asyncio.create_task(world.jobs.step(job_id))
    await entered.wait()
    await world.process("b").step(job_id)
    assert (await world.job(job_id))["state"] == "claimed"
    leave.set()
    await step
    assert (await world.job(job_id))["state"] == "submitted"


async def test_lost_lease_is_taken_over_and_the_old_owner_changes_nothing(world, say, monkeypatch):
    job_id = await world.submit()
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow():
        entered.set()
        await leave.wait()

    world.vendor.on_submit = slow
    world.vendor.plan = [say.done()]
    step = asyncio.create_task(world.jobs.step(job_id))
    await entered.wait()
    other = world.process("b")
    monkeypatch.setattr(other._store, "orphaned", lambda job: True)
    await other.step(job_id)
    taken = await world.job(job_id)
    assert taken["error"]["code"] == "interrupted_unknown_charge"
    leave.set()
    await step
    job = await world.job(job_id)
    assert (job["state"], job["state_seq"]) == ("failed", taken["state_seq"])
    assert job["provider_job_id"] == f"v-{job_id}-1"
    assert world.accepted == []


async def test_old_owner_of_a_finalizing_job_cannot_finish_it(world, say, monkeypatch):
    job_id = await world.submit()
    world.vendor.plan = [say.done()]
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow_once():
        if not entered.is_set():
            entered.set()
            await leave.wait()

    world.on_accept = slow_once
    step = asyncio.create_task(world.jobs.step(job_id))
    await entered.wait()
    other = world.process("b")
    monkeypatch.setattr(other._store, "orphaned", lambda job: True)
    await other.step(job_id)
    finished = await world.job(job_id)
    leave.set()
    await step
    assert (finished["state"], await world.job(job_id)) == ("succeeded", finished)
    assert world.owner.kinds(job_id) == [(1, "capture")]


async def test_answer_to_an_earlier_attempt_is_not_the_result_of_the_next(world, say):
    world.vendor.answers = [say.failed("overloaded", retryable=True)]
    job_id = await world.submit()
    first = await world.step(job_id)
    world.clock.ms += 1_000
    await world.jobs.step(job_id)
    world.clock.ms += 60_000
    second = await world.step(job_id)
    assert (second["state"], second["attempt"]) == ("submitted", 2)
    late_answer = say.done(first["provider_job_id"])
    assert await world.process("b")._machine._advance(first, late_answer) is None
    assert await world.job(job_id) == second
    assert world.accepted == []


async def test_heartbeat_renews_the_lease(make_world):
    world = make_world(lease_s=0.03)
    job_id = await world.submit()
    renewed = asyncio.Event()
    update = world.database["jobs"].update

    async def watched(where, change, **kwargs):
        if "lease_owner" in where:
            renewed.set()
        return await update(where, change, **kwargs)

    world.database["jobs"].update = watched
    world.vendor.on_submit = renewed.wait
    async with asyncio.timeout(20):
        await world.jobs.step(job_id)
    assert renewed.is_set()
    assert "lease_owner" not in await world.job(job_id)


async def test_heartbeat_that_loses_its_cancellation_ends_with_the_lease(make_world, deaf_beats):
    world = make_world(lease_s=0.3)
    beats = deaf_beats(world.database["jobs"], lambda where, _: "lease_owner" in where)
    async with asyncio.timeout(5), world.jobs._store.lease({"_id": "gone"}):
        await beats.get()
    (beat,) = (task for task in asyncio.all_tasks() if "_renew" in repr(task.get_coro()))
    await asyncio.wait_for(beat, 5)


def test_expired_lease_must_stand_still_before_it_is_taken(world, monkeypatch):
    time = 100.0
    monkeypatch.setattr(store.time, "monotonic", lambda: time)
    watch = world.jobs._store
    assert not watch.orphaned(expired(world))
    time += 15 * 0.39
    assert not watch.orphaned(expired(world))
    time += 15 * 0.02
    assert watch.orphaned(expired(world))


def test_lease_that_moves_is_alive_whatever_the_clock_says(world, monkeypatch):
    time = 100.0
    monkeypatch.setattr(store.time, "monotonic", lambda: time)
    world.clock.ms += 3_600_000
    for beat in range(10):
        job = {"_id": "j1", "lease_owner": "host-b:1:1", "next_at": world.clock() - 3_000_000 + beat * 5_000}
        assert not world.jobs._store.orphaned(job)
        time += 5


def test_own_lease_outside_a_step_is_an_orphan(world):
    assert world.jobs._store.orphaned(
        {"_id": "j", "lease_owner": "host-a:1:1", "next_at": world.clock() + 9_999}
    )


def test_dead_process_of_this_host_has_lost_its_lease_at_once(world):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = f"{store._host()}:{child.pid}:{store._started(child.pid)}"
    job = {"_id": "j", "lease_owner": owner, "next_at": world.clock() + 60_000}
    assert not world.jobs._store.orphaned(job)
    child.kill()
    child.communicate()
    assert world.jobs._store.orphaned(job)


def test_reused_process_id_is_no_owner(world):
    owner = f"{store._host()}:{os.getpid()}:1"
    assert world.jobs._store.orphaned({"_id": "j", "lease_owner": owner, "next_at": world.clock() + 60_000})


def test_process_of_another_host_is_not_judged_by_our_process_table(world):
    owner = f"elsewhere:{2**22 + 1}:17"
    assert not world.jobs._store.orphaned(
        {"_id": "j", "lease_owner": owner, "next_at": world.clock() + 60_000}
    )


def test_watched_leases_are_bounded_and_a_renewed_one_is_forgotten(world, monkeypatch):
    monkeypatch.setattr(store, "SEEN", 3)
    watch = world.jobs._store
    for name in "abcde":
        assert not watch.orphaned(expired(world) | {"_id": name})
    assert list(watch._seen) == ["c", "d", "e"]
    assert not watch.orphaned(expired(world) | {"_id": "d", "next_at": world.clock() + 60_000})
    assert list(watch._seen) == ["c", "e"]
