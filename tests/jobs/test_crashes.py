from __future__ import annotations

import random

import pytest

from studio.errors import DatabaseUnavailableError
from studio.jobs import store
from studio.jobs.contract import TERMINAL

pytestmark = pytest.mark.memory
WRITES = ("insert_many", "update", "find_and_update")


class KilledError(BaseException):
    """What kill -9 is to the code: nothing after it runs."""


class Killer:
    """Kills the process at the n-th point: before or after a write, in a submit, in an accept."""

    def __init__(self, world, monkeypatch):
        self.left = -1
        self.graves: set[str] = set()
        self.world = world
        monkeypatch.setattr(store, "_dead", lambda owner: owner in self.graves)
        repository = world.database["jobs"]
        for name in WRITES:
            monkeypatch.setattr(repository, name, self._deadly(getattr(repository, name)))
        world.vendor.on_submit = world.on_accept = self.point

    def _deadly(self, write):
        async def deadly(*args, **kwargs):
            await self.point()
            result = await write(*args, **kwargs)
            await self.point()
            return result

        return deadly

    async def point(self):
        self.left -= 1
        if self.left == 0:
            raise KilledError

    async def run(self, work, after: int):
        """Run `work` and kill it at the given point; returns whether it came so far."""
        self.left = after
        try:
            await work()
        except KilledError:
            return True
        finally:
            self.left = -1
        return False


async def recover(world, killer, job_id, number):
    """Bury the process, start another and let its scanner bring the job to its end."""
    killer.graves.add(world.jobs._store.owner)
    world.jobs = world.process(f"next{number}")
    for _ in range(30):
        job = await world.job(job_id)
        if job["state"] in TERMINAL and "next_at" not in job:
            return job
        world.clock.ms += 20_000
        world.bell.rings.clear()
        await world.scan()
    return await world.job(job_id)


@pytest.mark.parametrize("seed", range(100))
async def test_kill_at_a_random_point_ends_once_and_submits_at_most_once(make_world, monkeypatch, say, seed):
    chance = random.Random(seed)
    world = make_world()
    killer = Killer(world, monkeypatch)
    world.vendor.plan = [say.done(cost_uusd=5)] if seed % 2 else [say.running()]
    job_id = await world.submit()
    for number in range(chance.randint(1, 3)):
        if await killer.run(world.play, after=chance.randint(1, 14)):
            killer.graves.add(world.jobs._store.owner)
            world.jobs = world.process(f"n{number}")
    job = await recover(world, killer, job_id, 9)
    assert job["state"] in ("succeeded", "failed")
    assert "next_at" not in job
    assert all(count == 1 for count in world.vendor.submits.values())
    if job["state"] == "failed":
        assert job["error"]["code"] == "interrupted_unknown_charge"
        assert world.owner.kinds(job_id) == [(1, "capture")]
    else:
        assert world.accepted
        assert world.owner.kinds(job_id) == [(1, "capture")]


@pytest.mark.parametrize("seed", range(20))
async def test_kill_of_a_repeatable_job_loses_nothing(make_world, monkeypatch, seed):
    chance = random.Random(seed)
    world = make_world(idempotent=True)
    killer = Killer(world, monkeypatch)
    job_id = await world.submit()
    await killer.run(world.play, after=chance.randint(1, 12))
    job = await recover(world, killer, job_id, 1)
    assert job["state"] == "succeeded"
    assert set(world.vendor.submits) == {f"{job_id}-1"}


@pytest.mark.parametrize("point", range(1, 5))
async def test_kill_while_ordering_leaves_no_job_between_states(make_world, monkeypatch, point):
    world = make_world()
    killer = Killer(world, monkeypatch)
    killed = await killer.run(world.submit, after=point)
    assert killed
    jobs = await world.database["jobs"].find({})
    if jobs:
        job = await recover(world, killer, jobs[0]["_id"], 1)
        assert job["state"] == "succeeded"
        assert {hold.job_id for hold in world.owner.held} == {job["_id"]}


async def test_kill_between_submit_and_commit_is_flagged_and_never_sent_again(world, monkeypatch):
    killer = Killer(world, monkeypatch)
    job_id = await world.submit()
    await killer.run(lambda: world.jobs.step(job_id), after=3)
    assert (await world.job(job_id))["state"] == "claimed"
    job = await recover(world, killer, job_id, 1)
    assert (job["state"], job["error"]["code"]) == ("failed", "interrupted_unknown_charge")
    assert sum(world.vendor.submits.values()) == 1


async def test_result_that_kills_its_worker_three_times_fails(world, monkeypatch, say):
    killer = Killer(world, monkeypatch)
    world.vendor.plan = [say.done(cost_uusd=5)]
    deaths = 0

    async def die():
        nonlocal deaths
        deaths += 1
        raise KilledError

    world.on_accept = die
    job_id = await world.submit()
    for number in range(6):
        await killer.run(lambda: world.jobs.step(job_id), after=99)
        killer.graves.add(world.jobs._store.owner)
        world.jobs = world.process(f"next{number}")
        world.clock.ms += 20_000
    job = await world.job(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "crashed")
    assert deaths == 3
    assert world.owner.ledger[job_id, 1, "capture"].amount_uusd == 5


@pytest.mark.parametrize("awaited", ["submitted", "finalizing"])
async def test_vendor_answer_is_written_when_the_database_comes_back(world, monkeypatch, say, awaited):
    world.vendor.plan = [say.done() if awaited == "finalizing" else say.running()]
    monkeypatch.setattr("studio.jobs.polling.REPEAT_WRITE_S", (0.0, 0.0))
    job_id = await world.submit()
    repository = world.database["jobs"]
    write, outages = repository.update, 2

    async def flaky(where, change, **kwargs):
        nonlocal outages
        if change.get("$set", {}).get("state") == awaited and outages:
            outages -= 1
            raise DatabaseUnavailableError("away")
        return await write(where, change, **kwargs)

    monkeypatch.setattr(repository, "update", flaky)
    job = await world.step(job_id)
    assert job["provider_job_id"] == f"v-{job_id}-1"
    assert job["state"] == ("submitted" if awaited == "submitted" else "succeeded")


async def test_step_survives_a_database_that_is_away(world, monkeypatch):
    job_id = await world.submit()

    async def away(document_id):
        raise DatabaseUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(world.database["jobs"], "get", away)
        await world.jobs.step(job_id)
    assert (await world.job(job_id))["crashes"] == 0
    await world.play()
    assert (await world.job(job_id))["state"] == "succeeded"
