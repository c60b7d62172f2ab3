"""The promises that rest on what a real server does at once: its unique indexes and its conditional updates."""

from __future__ import annotations

import asyncio

import pytest

from studio import ConflictError, new_id
from studio_usage.collections import COLLECTIONS

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
async def ready(database):
    database.declare([("usage", collection) for collection in COLLECTIONS])
    await database.ensure()
    return database


@pytest.fixture
async def house(build_house, ready):
    return build_house(ready)


@pytest.fixture
def project() -> str:
    return new_id()


async def test_of_fifty_parallel_starts_ten_are_accepted(house, project):
    wide, tight = await house.budget(10_000, "user", "U"), await house.budget(1000, scope_id=project)
    answers = await asyncio.gather(*(house.hold(100, project_id=project) for _ in range(50)))
    assert sum(answer.allowed for answer in answers) == 10
    assert {answer.budget for answer in answers if not answer.allowed} == {tight}
    assert await house.figures(tight) == (1000, 0, 0)
    assert await house.figures(wide) == (1000, 0, 9000)
    assert await house.database["ledger"].count({"project_id": project, "kind": "hold"}) == 10


async def test_one_hold_asked_for_by_many_at_once_reserves_once(house, project):
    name, job = await house.budget(1000, scope_id=project), new_id()
    answers = await asyncio.gather(*(house.hold(100, job, project_id=project) for _ in range(20)))
    assert all(answer.allowed for answer in answers)
    assert await house.figures(name) == (100, 0, 900)
    assert len(await house.rows(job)) == 1


async def test_settlements_of_all_kinds_at_once_end_a_hold_once(house, project):
    name, job = await house.budget(1000, scope_id=project), new_id()
    await house.hold(100, job, project_id=project)
    steps = [house.capture(job, 60) for _ in range(8)] + [house.release(job) for _ in range(8)]
    assert all(await asyncio.gather(*steps))
    assert await house.figures(name) == (0, 60, 940)
    rows = await house.rows(job)
    assert sum("closes" in row for row in rows.values()) == 1
    assert rows["hold"]["amount_uusd"] == sum(row["ended_uusd"] for row in rows.values())


async def test_first_use_of_a_period_by_many_at_once_makes_one_budget(house, project):
    name = await house.budget(1000, scope_id=project, period="day")
    house.clock.ms += 86_400_000
    answers = await asyncio.gather(*(house.hold(10, project_id=project) for _ in range(20)))
    assert all(answer.allowed for answer in answers)
    assert await house.figures(name) == (200, 0, 800)
    assert await house.database["budgets"].count({"rule_id": name}) == 2


async def test_row_of_a_kind_exists_once_per_attempt(house, project):
    job = new_id()
    await house.hold(10, job, project_id=project)
    row = (await house.rows(job))["hold"]
    with pytest.raises(ConflictError):
        await house.database["ledger"].insert({**row, "_id": new_id()})


async def test_check_reads_what_is_stored(house, project):
    name = await house.budget(1000, scope_id=project)
    jobs = [new_id() for _ in range(5)]
    for number, job in enumerate(jobs):
        await house.hold(10, job, project_id=project)
        await house.capture(job, 10 + number)
    usage = await house.reports.usage({"project_id": project}, UsageQueryOfAll())
    assert (usage["spent_uusd"], usage["calls"]) == (60, 5)
    assert (await house.check())["differences"] == []
    await house.database["budgets"].update({"rule_id": name}, {"$inc": {"spent_uusd": 1}})
    assert [d["id"] for d in (await house.check())["differences"]] == [f"{name}:0"]
    assert (await house.check(repair=True))["repaired"] == 1
    assert await house.figures(name) == (0, 60, 940)


class UsageQueryOfAll:
    since, until, tz = None, None, "UTC"
