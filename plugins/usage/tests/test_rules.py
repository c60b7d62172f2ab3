"""The state machine of money on the in-memory repository."""

from __future__ import annotations

import asyncio

import pytest

from studio import Actor, ConflictError, CostSettlement, DatabaseUnavailableError, InvalidInputError, new_id
from studio_usage.settings import UsageSettings

pytestmark = pytest.mark.memory
ADMIN_ACTOR = Actor("ADMIN", platform_role="admin")


async def test_hold_capture_and_release_of_the_rest(house):
    name, job = await house.budget(100), new_id()
    assert (await house.hold(40, job)).allowed
    assert await house.figures(name) == (40, 0, 60)
    assert await house.capture(job, 30)
    assert await house.figures(name) == (0, 30, 70)
    assert await house.amounts(job) == {"hold": 40, "capture": 30, "release": 10}


async def test_release_gives_all_back(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    assert await house.release(job)
    assert await house.figures(name) == (0, 0, 100)
    assert await house.amounts(job) == {"hold": 40, "release": 40}


@pytest.mark.parametrize("times", [2, 5])
async def test_every_step_counts_once_however_often_it_comes(house, times):
    name, jobs = await house.budget(100), [new_id(), new_id()]
    for _ in range(times):
        assert all([(await house.hold(20, job)).allowed for job in jobs])
    for _ in range(times):
        assert await house.capture(jobs[0], 20)
        assert await house.release(jobs[1])
    assert await house.figures(name) == (0, 20, 80)
    assert await house.database["ledger"].count({"kind": {"$ne": "grant"}}) == 4


async def test_attempts_of_a_job_are_held_one_by_one(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.release(job)
    assert (await house.hold(50, job, attempt=2)).allowed
    await house.capture(job, 50, attempt=2)
    assert await house.figures(name) == (0, 50, 50)


async def test_a_settled_attempt_is_not_held_again(house):
    job = new_id()
    await house.hold(40, job)
    await house.release(job)
    refused = await house.hold(40, job)
    assert not refused.allowed
    assert "another" in refused.reason


async def test_a_charge_larger_than_its_hold_is_recorded_as_it_is(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.capture(job, 130)
    assert await house.figures(name) == (0, 130, -30)
    assert await house.amounts(job) == {"hold": 40, "capture": 130}


async def test_of_fifty_parallel_starts_ten_are_accepted(house):
    name = await house.budget(1000)
    answers = await asyncio.gather(*(house.hold(100) for _ in range(50)))
    assert sum(answer.allowed for answer in answers) == 10
    assert await house.figures(name) == (1000, 0, 0)
    assert await house.database["ledger"].count({"kind": "hold"}) == 10


@pytest.mark.parametrize("amount", [-1, -(10**9)])
async def test_negative_amount_is_refused(house, amount):
    with pytest.raises(InvalidInputError):
        await house.hold(amount)


async def test_free_calls_pass_a_budget_that_is_used_up(house):
    name, job = await house.budget(10), new_id()
    await house.hold(10, "paid")
    await house.capture("paid", 25)
    assert (await house.hold(0, job)).allowed
    assert await house.capture(job, 0)
    assert await house.figures(name) == (0, 25, -15)


async def test_what_was_declared_free_and_charged_all_the_same_counts_once(house):
    name, job = await house.budget(100), new_id()
    await house.hold(0, job)
    for _ in range(3):
        await house.capture(job, 7)
    assert await house.figures(name) == (0, 7, 93)


# ---------------------------------------------------------------- several budgets


async def test_every_matching_budget_counts(house):
    places = {"project": "P", "user": "U", "api_key": "K", "provider": "vendor"}
    names = [await house.budget(100, scope, place) for scope, place in places.items()]
    other = await house.budget(100, "user", "SOMEBODY")
    job = new_id()
    await house.hold(30, job, api_key_id="K")
    assert [await house.figures(name) for name in names] == [(30, 0, 70)] * 4
    await house.capture(job, 10)
    assert [await house.figures(name) for name in names] == [(0, 10, 90)] * 4
    assert await house.figures(other) == (0, 0, 100)


async def test_when_a_later_budget_refuses_the_earlier_ones_get_theirs_back(house):
    wide = await house.budget(1000, "project", "P")
    tight = await house.budget(50, "user", "U")
    decision = await house.hold(60)
    assert not decision.allowed
    assert decision.budget == tight
    assert await house.figures(wide) == (0, 0, 1000)
    assert await house.figures(tight) == (0, 0, 50)
    assert await house.database["ledger"].count({"kind": "hold"}) == 0


async def test_parallel_starts_against_two_budgets_leave_no_reservation_behind(house):
    wide, tight = await house.budget(10_000), await house.budget(500, "user", "U")
    answers = await asyncio.gather(*(house.hold(100) for _ in range(30)))
    assert sum(answer.allowed for answer in answers) == 5
    assert await house.figures(wide) == (500, 0, 9500)
    assert await house.figures(tight) == (500, 0, 0)


async def test_budget_that_only_warns_lets_pass_and_counts(house):
    name = await house.budget(50, on_exceed="warn")
    assert (await house.hold(60)).allowed
    assert await house.figures(name) == (60, 0, -10)
    assert len(house.told("budget.exceeded")) == 1


async def test_day_and_month_of_one_project_both_count(house):
    day, month = await house.budget(100, period="day"), await house.budget(150, period="month")
    await house.hold(90)
    assert (await house.hold(20)).budget == day
    house.clock.ms += 86_400_000
    assert (await house.hold(60)).allowed
    assert (await house.hold(1)).budget == month


# ---------------------------------------------------------------- two at the same hold


async def test_who_was_overtaken_gives_back_nothing_of_the_others(house):
    name, book = await house.budget(100), house.costs.book
    entries = [{"hold": hold, "job_id": "j", "attempt": 1, "amount": 40, "at": 0} for hold in ("one", "two")]
    for entry in entries:
        assert await book.reserve(await book.budgets.get(f"{name}:0"), "k", entry)
    assert await house.figures(name) == (40, 0, 60)
    assert not await book.undo(f"{name}:0", "k", entries[0])
    assert await house.figures(name) == (40, 0, 60)
    assert await book.undo(f"{name}:0", "k", entries[1])
    assert await house.figures(name) == (0, 0, 100)


async def test_two_who_hold_one_attempt_for_different_amounts_agree_on_the_row(house, monkeypatch):
    name, add, go = await house.budget(100), house.costs.ledger.add, asyncio.Event()

    async def slow_add(kind, like, **fields):
        if fields["amount_uusd"] == 40:
            await go.wait()
        else:
            go.set()
            assert (await first).allowed
        return await add(kind, like, **fields)

    monkeypatch.setattr(house.costs.ledger, "add", slow_add)
    first = asyncio.create_task(house.hold(40, "job"))
    await asyncio.sleep(0)
    assert (await house.hold(50, "job")).allowed
    assert await house.amounts("job") == {"hold": 40}
    assert await house.figures(name) == (40, 0, 60)
    await house.release("job")
    assert await house.figures(name) == (0, 0, 100)


# ---------------------------------------------------------------- refusals


async def test_refusal_says_which_budget_when_it_resets_and_what_helps(house, describe_offer):
    house.offers = [
        describe_offer("vendor", "image", "per_image", 40), describe_offer("local", "image", "free", 0)
    ]  # fmt: skip
    name = await house.budget(2_500_000, period="day", tz="Asia/Kolkata")
    await house.hold(2_000_000)
    decision = await house.hold(1_000_000)
    midnight = 1_800_037_800_000  # 2027-01-16 00:00 in Kolkata, UTC+5:30
    assert (decision.allowed, decision.budget, decision.resets_at) == (False, name, midnight)
    assert "daily" in decision.reason
    assert "$2.00 of $2.50" in decision.reason
    assert "2027-01-16 00:00 Asia/Kolkata" in decision.reason
    assert decision.retry_with == (
        {"action": "wait", "until": midnight},
        {"action": "raise_budget", "budget": name, "neededUusd": 3_000_000},
        {"action": "use_provider", "provider": "local"},
    )


async def test_a_budget_in_all_never_resets_and_nobody_is_told_to_wait(house, describe_offer):
    house.offers = [describe_offer("vendor", "image", "per_image", 40)]
    await house.budget(10)
    decision = await house.hold(20)
    assert decision.resets_at is None
    assert [advice["action"] for advice in decision.retry_with] == ["raise_budget"]


async def test_a_providers_figures_are_not_shown_to_whoever_is_refused(house):
    await house.budget(77_000_000, "provider", "vendor")
    decision = await house.hold(80_000_000)
    assert "77" not in decision.reason + str(decision.retry_with)


@pytest.mark.parametrize(
    ("capability", "available", "helps"),
    [("image", True, True), ("voice", True, False), ("image", False, False)],
)
async def test_a_free_provider_is_named_only_if_it_does_the_same_now(
    house, describe_offer, capability, available, helps
):
    free = describe_offer("local", capability, "free", 0) | {"available": available}
    house.offers = [describe_offer("vendor", "image", "per_image", 40), free]
    await house.budget(10)
    assert ("use_provider" in str((await house.hold(20)).retry_with)) is helps


async def test_people_are_told_once_a_period_that_a_limit_is_reached(house):
    await house.budget(100, soft_uusd=50, period="day")
    for amount in (40, 20, 30, 60, 60):
        await house.hold(amount)
    assert len(house.told("budget.soft_limit")) == len(house.told("budget.exceeded")) == 1
    house.clock.ms += 86_400_000
    await house.hold(60)
    await house.hold(60)
    assert len(house.told("budget.soft_limit")) == len(house.told("budget.exceeded")) == 2


# ---------------------------------------------------------------- unknown prices


async def test_unknown_price_is_refused_where_a_budget_refuses(house):
    name = await house.budget(100)
    decision = await house.hold(None)
    assert not decision.allowed
    assert decision.budget == name
    assert "unknown" in decision.reason
    assert "wait" not in str(decision.retry_with)


@pytest.mark.parametrize("limit", [None, 100])
async def test_unknown_price_passes_where_no_budget_refuses_and_stays_unknown(house, limit):
    if limit is not None:
        await house.budget(limit, on_exceed="warn")
    job = new_id()
    assert (await house.hold(None, job)).allowed
    rows = await house.rows(job)
    assert (rows["hold"]["amount_uusd"], rows["hold"]["price_source"]) == (None, "unknown")


async def test_known_charge_of_an_unknown_price_counts_in_a_budget_that_warns(house):
    name, job = await house.budget(100, on_exceed="warn"), new_id()
    await house.hold(None, job)
    for _ in range(2):
        await house.capture(job, 30)
    assert await house.figures(name) == (0, 30, 70)


async def test_configured_amount_is_held_for_an_unknown_price(build_house):
    house = build_house(settings=UsageSettings(unknown_hold_uusd=60))
    name, job = await house.budget(100), new_id()
    assert (await house.hold(None, job)).allowed
    assert (await house.rows(job))["hold"]["price_source"] == "unknown"
    assert not (await house.hold(None)).allowed
    assert await house.figures(name) == (60, 0, 40)


async def test_charge_of_unknown_size_keeps_its_hold_and_is_flagged_until_somebody_knows(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.capture(job, None)
    assert await house.amounts(job) == {"hold": 40, "capture": None}
    assert await house.figures(name) == (40, 0, 60)
    assert await house.flagged() == {job: "unknown_charge"}
    await house.costs.resolve(ADMIN_ACTOR, job, 1, 25, "the vendor's bill")
    assert await house.amounts(job) == {"hold": 40, "capture": None, "adjust": 25, "release": 15}
    assert await house.figures(name) == (0, 25, 75)
    assert await house.flagged() == {}
    with pytest.raises(ConflictError):
        await house.costs.resolve(ADMIN_ACTOR, job, 1, 25, "")


async def test_charge_of_unknown_size_is_not_released(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.capture(job, None)
    assert await house.release(job)
    assert await house.figures(name) == (40, 0, 60)
    assert await house.flagged() == {job: "unknown_charge"}


async def test_charge_that_is_reported_later_settles_an_unknown_one(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.capture(job, None)
    for _ in range(2):
        await house.capture(job, 55)
    assert await house.amounts(job) == {"hold": 40, "capture": None, "adjust": 55}
    assert await house.figures(name) == (0, 55, 45)
    assert await house.flagged() == {}


# ---------------------------------------------------------------- what comes late, and by hand


async def test_charge_after_the_release_is_recorded(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.release(job)
    for _ in range(2):
        await house.capture(job, 40)
    assert await house.amounts(job) == {"hold": 40, "release": 40, "capture": 40}
    assert await house.figures(name) == (0, 40, 60)


async def test_release_after_the_charge_changes_nothing(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.capture(job, 40)
    await house.release(job)
    assert await house.figures(name) == (0, 40, 60)


@pytest.mark.parametrize(("reported", "kind", "by"), [(25, "refund", 15), (55, "adjust", 15)])
async def test_what_is_reported_after_a_computed_charge_corrects_it_once(house, reported, kind, by):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.capture(job, 40, "computed")
    for _ in range(3):
        await house.capture(job, reported)
    assert (await house.amounts(job))[kind] == by
    assert await house.figures(name) == (0, reported, 100 - reported)


async def test_a_computed_repetition_corrects_nothing(house):
    job = new_id()
    await house.hold(40, job)
    await house.capture(job, 40)
    await house.capture(job, 30, "computed")
    await house.capture(job, None)
    assert await house.amounts(job) == {"hold": 40, "capture": 40}


async def test_refund_counts_once_in_the_period_of_its_hold(house):
    name, job = await house.budget(100, period="day"), new_id()
    await house.hold(40, job)
    await house.capture(job, 40)
    house.clock.ms += 86_400_000
    for _ in range(2):
        row = await house.costs.refund(ADMIN_ACTOR, job, 1, 15, "broken picture")
        assert (row["amount_uusd"], row["by"]) == (15, "ADMIN")
    assert await house.figures(name) == (0, 0, 100)
    first = await house.database["budgets"].find_one({"rule_id": name}, sort=[("period_start", 1)])
    assert (first["spent_uusd"], first["left_uusd"]) == (25, 75)
    with pytest.raises(ConflictError) as refused:
        await house.costs.refund(ADMIN_ACTOR, job, 1, 16, "")
    assert refused.value.code == "refunded_already"


@pytest.mark.parametrize("charged", [None, 10])
async def test_no_more_comes_back_than_was_charged(house, charged):
    job = new_id()
    if charged:
        await house.hold(charged, job)
        await house.capture(job, charged)
    with pytest.raises(ConflictError) as refused:
        await house.costs.refund(ADMIN_ACTOR, job, 1, 11, "")
    assert refused.value.code == "refund_too_large"


async def test_charge_after_a_settlement_by_hand_replaces_it(house):
    name, job = await house.budget(100), new_id()
    await house.hold(40, job)
    await house.costs.resolve(ADMIN_ACTOR, job, 1, 10, "guessed by a person")
    for _ in range(2):
        await house.capture(job, 35)
    assert await house.figures(name) == (0, 35, 65)
    assert (await house.amounts(job))["refund"] == 10


async def test_charge_without_a_hold_is_recorded_with_what_its_job_says(house):
    job = {
        "_id": new_id(),
        "project_id": "P",
        "user_id": "U",
        "provider": "vendor",
        "model": "m",
        "kind": "k",
    }
    await house.database["jobs"].insert(job)
    assert await house.capture(job["_id"], 5)
    row = (await house.rows(job["_id"]))["capture"]
    assert (row["project_id"], row["amount_uusd"], row["note"]) == ("P", 5, "charged without a hold")


async def test_release_of_what_was_never_held_is_acknowledged_and_leaves_no_row(house):
    assert await house.release("refused-job")
    assert await house.rows("refused-job") == {}


async def test_the_row_says_who_what_and_at_which_price(house, describe_offer):
    house.offers = [describe_offer("vendor", "image", "per_image", 40)]
    job = new_id()
    await house.database["jobs"].insert({"_id": job, "kind": "image.generate"})
    await house.hold(40, job, api_key_id="K")
    usage = {"images": 1}
    await house.costs.settle(CostSettlement(job, 1, "capture", 40, "computed", usage))
    row = (await house.rows(job))["capture"]
    assert {name: row[name] for name in ("job_kind", "units", "unit_price_uusd", "api_key_id", "price_source")} == {
        "job_kind": "image.generate", "units": usage, "unit_price_uusd": 40, "api_key_id": "K",
        "price_source": "computed",
    }  # fmt: skip


# ---------------------------------------------------------------- limits that change


async def test_a_limit_that_is_raised_holds_at_once_and_keeps_what_was_spent(house):
    name = await house.budget(100)
    await house.hold(90)
    assert not (await house.hold(20)).allowed
    await house.budget(200)
    assert (await house.hold(20)).allowed
    assert await house.figures(name) == (110, 0, 90)
    grants = await house.database["ledger"].find({"kind": "grant"})
    assert [grant["amount_uusd"] for grant in grants] == [100, 100]


async def test_a_deleted_budget_refuses_nothing_and_remembers_when_it_is_set_again(house):
    name = await house.budget(100)
    await house.hold(90)
    await house.budgets.delete_budget(ADMIN_ACTOR, "project", "P", "total")
    assert (await house.hold(500)).allowed
    await house.budget(100)
    assert await house.figures(name) == (90, 0, 10)


async def test_the_zone_of_a_budget_does_not_change(house):
    await house.budget(100, period="month", tz="UTC")
    with pytest.raises(ConflictError) as refused:
        await house.budget(100, period="month", tz="Asia/Tokyo")
    assert refused.value.code == "budget_timezone_fixed"


async def test_database_away_means_no_answer_at_all(house, monkeypatch):
    await house.budget(100)

    async def away(*_, **__):
        raise DatabaseUnavailableError

    monkeypatch.setattr(house.costs.ledger.rows._inner, "find", away)
    with pytest.raises(DatabaseUnavailableError):
        await house.hold(10)
    with pytest.raises(DatabaseUnavailableError):
        await house.capture("job", 10)


async def test_database_that_goes_away_after_a_reservation_gives_it_back(house, monkeypatch):
    first, second = await house.budget(100, "project", "P"), await house.budget(100, "user", "U")
    update, calls = house.costs.book.budgets._inner.update, []

    async def away(where, *args, **kwargs):
        calls.append(where)
        if len(calls) == 2:
            raise DatabaseUnavailableError
        return await update(where, *args, **kwargs)

    monkeypatch.setattr(house.costs.book.budgets._inner, "update", away)
    with pytest.raises(DatabaseUnavailableError):
        await house.hold(10)
    assert [await house.figures(name) for name in (first, second)] == [(0, 0, 100)] * 2
