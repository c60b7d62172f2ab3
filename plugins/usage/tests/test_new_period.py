"""A budget begins anew by the clock of its zone; nothing has to run for that."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from studio import new_id

pytestmark = pytest.mark.memory


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "before", "after"),
    [
        ("day", "2027-03-28T21:59:59", "2027-03-28T22:00:00"),  # the day of 23 hours ends
        ("day", "2027-10-31T22:59:59", "2027-10-31T23:00:00"),  # the day of 25 hours ends
        ("month", "2027-03-31T21:59:59", "2027-03-31T22:00:00"),  # the month in which the clocks change ends
        ("month", "2027-12-31T22:59:59", "2027-12-31T23:00:00"),
    ],
)
async def test_new_period_begins_with_its_first_second(house, period, before, after):
    house.clock.ms = ms(before)
    name = await house.budget(100, period=period, tz="Europe/Berlin")
    assert (await house.hold(100)).allowed
    refused = await house.hold(1)
    assert (refused.allowed, refused.resets_at) == (False, ms(after))
    house.clock.ms = ms(after)
    assert (await house.hold(100)).allowed
    assert await house.figures(name) == (100, 0, 0)
    assert await house.database["budgets"].count({"rule_id": name}) == 2


async def test_what_was_held_before_midnight_is_charged_to_the_day_of_its_hold(house):
    house.clock.ms = ms("2027-10-31T22:59:00")
    name, job = await house.budget(100, period="day", tz="Europe/Berlin"), new_id()
    await house.hold(60, job)
    house.clock.ms = ms("2027-10-31T23:10:00")
    await house.hold(10)
    await house.capture(job, 70)
    assert await house.figures(name) == (10, 0, 90)
    old = await house.database["budgets"].find_one({"rule_id": name}, sort=[("period_start", 1)])
    assert (old["held_uusd"], old["spent_uusd"], old["left_uusd"]) == (0, 70, 30)
    assert (await house.check())["differences"] == []


async def test_looking_at_a_budget_makes_no_period(house):
    name = await house.budget(100, period="day")
    house.clock.ms += 5 * 86_400_000
    assert await house.figures(name) == (0, 0, 100)
    assert await house.database["budgets"].count({}) == 1
