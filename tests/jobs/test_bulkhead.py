"""One provider that is silent, away or busy takes no more than its share."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest

from studio.auth import Actor
from studio.breaker import FAILURES
from studio.errors import ProviderError, ProviderUnavailableError
from studio.jobs.lanes import Beside, Lanes
from studio.jobs.scanner import LocalDoorbell
from studio.providers.contract import ProviderSpec

pytestmark = pytest.mark.memory
ACTOR = Actor(user_id="ada")


class Silent:
    """Never answers until it may."""

    def __init__(self, world):
        self.world, self.asked, self.answers = world, [], asyncio.Event()

    async def submit(self, request):
        self.asked.append(request.job_id.rpartition("-")[0])
        await self.answers.wait()
        raise ProviderUnavailableError("off")

    async def poll(self, provider_job_id):
        self.asked.append(provider_job_id)
        await self.answers.wait()
        raise ProviderError("late")

    def estimate(self, request):
        return self.world.vendor.estimate(request)


def add_silent(world):
    silent = Silent(world)
    sys.modules["fake_vendor"].Silent = lambda ctx: silent
    spec = ProviderSpec("silent", "image", "fake_vendor:Silent", deadline_s=600)
    world.providers.register("vendor2", None, [spec])
    return silent


async def until(check):
    async with asyncio.timeout(20):
        while not check():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def working(world):
    world.jobs.backend = None
    await world.jobs.start()
    try:
        yield
    finally:
        await world.jobs.stop()


@pytest.fixture
def busy(make_world):
    return make_world(concurrency=2, scan_s=3_600, stop_s=0.05)


async def test_silent_provider_takes_no_workers_from_others(busy, say):
    silent = add_silent(busy)
    async with working(busy):
        jobs = await busy.jobs.submit_many(ACTOR, [busy.order(provider="silent") for _ in range(5)])
        await until(lambda: len(silent.asked) == 2)
        busy.vendor.plan = [say.done() for _ in range(3)]
        others = await busy.jobs.submit_many(ACTOR, [busy.order(provider="fake") for _ in range(3)])
        await until(lambda: len(busy.accepted) == 3)
        assert {job_id for job_id, _ in busy.accepted} == {job["_id"] for job in others}
        assert len(silent.asked) == 2
        assert [(await busy.job(job["_id"]))["state"] for job in jobs].count("queued") == 3


async def test_silent_polls_take_no_workers_from_others(busy, say):
    silent = add_silent(busy)
    ids = [await busy.submit(provider="silent") for _ in range(4)]
    for job_id in ids:
        fields = {"state": "submitted", "provider_job_id": f"v-{job_id}", "next_at": busy.clock.ms}
        await busy.database["jobs"].update(job_id, {"$set": fields})
    async with working(busy):
        for job_id in ids:
            await busy.jobs._local.enqueue(job_id)
        await until(lambda: len(silent.asked) == 2)
        busy.vendor.plan = [say.done()]
        done = await busy.submit(provider="fake")
        await until(lambda: busy.accepted == [(done, False)])
        assert len(silent.asked) == 2


async def test_parked_jobs_go_on_as_lanes_come_free_the_most_urgent_first(make_world):
    busy = make_world(concurrency=1, scan_s=3_600, stop_s=0.05)
    silent = add_silent(busy)
    async with working(busy):
        jobs = [await busy.submit(provider="silent", priority=n) for n in (9, 1)]
        await until(lambda: busy.jobs._machine.lanes.holds(jobs[1]))
        jobs.append(await busy.submit(provider="silent", priority=5))
        await until(lambda: busy.jobs._machine.lanes.holds(jobs[2]))
        silent.answers.set()
        await until(lambda: len(silent.asked) == 3)
    assert silent.asked == [jobs[0], jobs[2], jobs[1]]


async def test_parked_job_is_read_once_however_often_it_is_rung(busy, monkeypatch):
    silent, reads = add_silent(busy), []
    repository = busy.database["jobs"]
    get = repository.get

    async def counted(document_id):
        reads.append(document_id)
        return await get(document_id)

    async with working(busy):
        monkeypatch.setattr(repository, "get", counted)
        jobs = await busy.jobs.submit_many(ACTOR, [busy.order(provider="silent") for _ in range(3)])
        await until(lambda: len(silent.asked) == 2)
        parked = next(job["_id"] for job in jobs if job["_id"] not in silent.asked)
        await until(lambda: busy.jobs._machine.lanes.holds(parked))
        for _ in range(3):
            await busy.jobs.step(parked)
        assert reads.count(parked) == 1


async def test_full_provider_hides_no_job_of_others_from_the_scanner(busy, say):
    silent = add_silent(busy)
    steps = []
    for _ in range(2):
        job_id = await busy.submit(provider="silent")
        steps.append(asyncio.create_task(busy.jobs.step(job_id)))
    await until(lambda: len(silent.asked) == 2)
    await busy.jobs.submit_many(ACTOR, [busy.order(provider="silent") for _ in range(101)])
    busy.clock.ms += 1
    other = await busy.submit(provider="fake")
    busy.clock.ms += 60_000
    assert (await busy.scan())[2:] == [other]  # after those two whose lease has run out
    silent.answers.set()
    await asyncio.gather(*steps)


async def test_job_of_a_provider_that_is_away_is_not_claimed(world):
    for _ in range(FAILURES):
        world.providers.get("image", "fake").breaker.failure()
    job_id = await world.submit()
    world.owner.told.clear()
    job = await world.step(job_id)
    assert job["state"] == "queued"
    assert [told["state"] for told in world.owner.told] == ["queued"]
    assert (job["started_at"], sum(world.vendor.submits.values())) == (world.clock.ms, 0)


async def test_job_that_a_circuit_keeps_waiting_meets_its_deadline(world):
    job_id = await world.submit()
    for _ in range(200):
        for _ in range(FAILURES):
            world.providers.get("image", "fake").breaker.failure()
        if (job := await world.step(job_id))["state"] != "queued":
            break
        world.clock.ms += 7_000
    assert (job["state"], job["error"]["code"]) == ("failed", "provider_unavailable")


async def test_jobs_that_were_told_the_same_pause_do_not_come_back_at_once(world):
    ids = [await world.submit() for _ in range(20)]
    for _ in range(FAILURES):
        world.providers.get("image", "fake").breaker.failure()
    ready = [(await world.step(job_id))["ready_at"] - world.clock.ms for job_id in ids]
    assert all(5_000 <= delay <= 6_250 for delay in ready)
    assert len(set(ready)) > 10


async def test_full_polls_hide_no_job_under_way_of_others_and_go_on_when_it_answers(busy):
    silent = add_silent(busy)
    ids = [await busy.submit(provider="silent") for _ in range(103)]
    for job_id in ids:
        fields = {"state": "submitted", "provider_job_id": f"v-{job_id}", "next_at": busy.clock.ms}
        await busy.database["jobs"].update(job_id, {"$set": fields})
    steps = [asyncio.create_task(busy.jobs.step(job_id)) for job_id in ids[:3]]
    await until(lambda: len(silent.asked) == 2)
    other = await busy.submit(provider="fake")
    fields = {"state": "submitted", "provider_job_id": "v-other", "next_at": busy.clock.ms + 1}
    await busy.database["jobs"].update(other, {"$set": fields})
    busy.clock.ms += 1_000
    busy.vendor.known.add("v-other")
    assert await busy.scan() == [other]
    assert busy.accepted == [(other, False)]
    busy.bell.rings.clear()
    silent.answers.set()
    await asyncio.gather(*steps)
    assert (ids[2], 0.0) in busy.bell.rings


def test_lane_forgets_who_has_left():
    lanes = Lanes(1)
    assert lanes.enter("fal")
    assert not lanes.enter("fal")
    assert lanes.enter("xai")
    lanes.park({"_id": "j", "provider": "fal", "priority": 3})
    assert lanes.full() == ["fal", "xai"]
    assert lanes.leave("xai") is None
    assert lanes.leave("fal") == {"_id": "j", "priority": 3}
    assert not lanes.full()
    assert not lanes.holds("j")
    assert not any(lanes._parked.values())
    assert not lanes._where


async def test_step_that_waits_for_a_vendor_frees_its_worker_and_is_cut_at_the_end():
    inside, most, cut, leave = [], [], [], asyncio.Event()

    async def step(job_id):
        if job_id == "waits":
            with beside.away():
                try:
                    await leave.wait()
                finally:
                    cut.append(job_id)
        else:
            inside.append(job_id)
            most.append(len(inside))
            await asyncio.sleep(0)
            inside.remove(job_id)

    beside, bell = Beside(step), LocalDoorbell(1)
    await bell.start(beside)
    for job_id in ("waits", "a", "b", "c"):
        await bell.enqueue(job_id)
    await until(lambda: len(most) == 3)
    await bell.stop()
    assert (most, cut) == ([1, 1, 1], [])
    await beside.cut()
    assert cut == ["waits"]
    assert not beside._left


async def test_stop_waits_for_the_step_that_has_freed_its_worker(busy, say):
    entered, leave = asyncio.Event(), asyncio.Event()

    async def sends():
        entered.set()
        await leave.wait()

    busy.jobs._stop_s = 20
    busy.vendor.on_submit = sends
    busy.vendor.plan = [say.done()]
    async with working(busy):
        await busy.submit()
        await entered.wait()
        asyncio.get_running_loop().call_later(0.05, leave.set)
    assert len(busy.accepted) == 1


async def test_engine_gets_its_worker_back_while_a_vendor_is_silent(busy):
    silent = add_silent(busy)
    job_id = await busy.submit(provider="silent")
    await busy.jobs.start()
    async with asyncio.timeout(20):
        await busy.bell.step(job_id)
    await until(lambda: silent.asked == [job_id])
    await busy.jobs.stop()
