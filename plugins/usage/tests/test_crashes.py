"""A process may die between any two writes; what it leaves behind is mended, and the ledger is right throughout."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio import new_id

pytestmark = pytest.mark.memory
LATER_MS = 120_000
WRITES = 16


@pytest.mark.parametrize("at", range(WRITES))
async def test_hold_that_died_anywhere_is_made_by_the_next_try(house, dying, at):
    names = [await house.budget(100, "project", "P"), await house.budget(100, "user", "U")]
    order = house.order(40)
    async with dying(house, at):
        await house.costs.hold(order)
    assert (await house.costs.hold(order)).allowed
    assert [await house.figures(name) for name in names] == [(40, 0, 60)] * 2
    await house.capture(order.job_id, 40)
    assert [await house.figures(name) for name in names] == [(0, 40, 60)] * 2


@pytest.mark.parametrize("at", range(WRITES))
async def test_hold_that_died_and_is_never_tried_again_leaves_nothing_reserved(house, dying, at):
    names = [await house.budget(100, "project", "P"), await house.budget(100, "user", "U")]
    order = house.order(40)
    async with dying(house, at) as outcome:
        await house.costs.hold(order)
    house.clock.ms += LATER_MS
    await house.reconciler.run()
    held = await house.database["ledger"].count({"kind": "hold"})
    assert held or outcome.died
    assert [await house.figures(name) for name in names] == [(40 * held, 0, 100 - 40 * held)] * 2
    assert (await house.check())["differences"] == []


@pytest.mark.parametrize("at", range(WRITES))
async def test_refusal_that_died_anywhere_leaves_nothing_reserved(house, dying, at):
    wide, tight = await house.budget(100, "project", "P"), await house.budget(10, "user", "U")
    async with dying(house, at):
        await house.hold(40)
    house.clock.ms += LATER_MS
    await house.reconciler.run()
    assert await house.figures(wide) == (0, 0, 100)
    assert await house.figures(tight) == (0, 0, 10)


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("kind", ["less", "all", "more", "release", "unknown"])
@pytest.mark.parametrize("at", range(WRITES))
async def test_settlement_that_died_anywhere_is_brought_to_its_end(house, dying, at, kind, again):
    names = [await house.budget(100, "project", "P"), await house.budget(100, "user", "U")]
    job = new_id()
    await house.hold(40, job)
    amount = {"less": 30, "all": 40, "more": 50, "unknown": None}.get(kind)

    async def settle():
        return await (house.release(job) if kind == "release" else house.capture(job, amount))

    async with dying(house, at):
        await settle()
    if again:
        assert await settle()
    house.clock.ms += LATER_MS
    await house.reconciler.run()
    report = await house.check()
    assert report["differences"] == []
    written = {"capture", "release"} & (await house.rows(job)).keys()
    spent = (amount or 0) if written else 0
    held = 0 if written and kind != "unknown" else 40
    assert [await house.figures(name) for name in names] == [(held, spent, 100 - held - spent)] * 2
    assert await house.flagged() == ({job: "unknown_charge"} if written and kind == "unknown" else {})
    assert written or not again


async def test_reservation_of_a_hold_that_is_being_made_is_left_alone(house, dying):
    name = await house.budget(100)
    async with dying(house, 1):  # after the reservation, before the row
        await house.hold(40)
    await house.reconciler.run()
    assert await house.figures(name) == (40, 0, 60)


@pytest.mark.parametrize(
    ("job", "rows", "flag"),
    [
        ({"state": "failed"}, {"hold", "release"}, False),
        (
            {"state": "succeeded", "cost_uusd": 30, "cost_source": "reported"},
            {"hold", "capture", "release"},
            False,
        ),
        ({"state": "succeeded", "cost_uusd": None, "cost_source": "unknown"}, {"hold", "capture"}, True),
        ({"state": "failed", "bill": {}}, {"hold"}, False),  # it will be asked for
        ({"state": "submitted"}, {"hold"}, False),
        ({"state": "submitted", "attempt": 2}, {"hold"}, True),
        (None, {"hold"}, True),
    ],
)
async def test_open_hold_ends_as_its_job_says_or_is_flagged(house, job, rows, flag):
    await house.budget(100)
    name = new_id()
    if job is not None:
        await house.database["jobs"].insert({"_id": name, "kind": "k", "attempt": 1, **job})
    await house.hold(40, name)
    house.clock.ms += 2 * 3_600_000
    await house.reconciler.run()
    assert (await house.rows(name)).keys() == rows
    assert bool(await house.flagged()) is flag


# ---------------------------------------------------------------- ten thousand steps

OPS = st.tuples(
    st.sampled_from(
        ["hold", "hold", "capture", "capture", "unknown", "release", "refund", "resolve", "again"]
    ),
    st.integers(0, 7),
    st.integers(0, 60),
    st.one_of(st.none(), st.integers(0, WRITES)),
)
"""What happens, to which attempt, with how much money, and at which write the process dies, if it does."""


class Story:
    """Plays random steps; keeps what was acknowledged, as a client and a job would."""

    def __init__(self, house, dying):
        self.house, self.dying = house, dying
        self.orders, self.accepted, self.charged = {}, set(), {}
        self.back, self.steps, self.deaths = defaultdict(int), 0, 0

    async def play(self, kind, who, amount, at):
        self.steps += 1
        job = f"job{who}"
        async with self.dying(self.house, -1 if at is None else at) as outcome:
            await getattr(self, f"_{kind}")(job, amount)
        self.deaths += outcome.died

    async def _hold(self, job, amount):
        order = self.orders.setdefault(job, self.house.order(amount, job))
        if (await self.house.costs.hold(order)).allowed:
            self.accepted.add(job)

    async def _capture(self, job, amount):
        if job in self.accepted:  # nobody charges for what was refused
            amount = self.charged.setdefault(job, amount)
            assert await self.house.capture(job, amount)

    async def _unknown(self, job, _):
        if job in self.accepted:
            assert await self.house.capture(job, self.charged.setdefault(job, None))

    async def _release(self, job, _):
        if job not in self.charged:
            assert await self.house.release(job)

    async def _refund(self, job, amount):
        try:
            await self.house.costs.refund(ADMIN, job, 1, max(1, amount // 2), "")
        except Exception as error:  # noqa: BLE001 - a refusal is an answer too
            assert getattr(error, "status", 0) == 409, error  # noqa: PT017 - any other error is the finding

    async def _resolve(self, job, amount):
        try:
            await self.house.costs.resolve(ADMIN, job, 1, amount, "")
        except Exception as error:  # noqa: BLE001 - as above
            assert getattr(error, "status", 0) == 409, error  # noqa: PT017 - as above

    async def _again(self, job, _):
        self.house.clock.ms += LATER_MS
        await self.house.reconciler.run()


class _Admin:
    user_id, name, kind = "ADMIN", "", "user"


ADMIN = _Admin()
TOTAL = {"steps": 0, "deaths": 0}


async def tell(build_house, dying, steps, warn):
    house = build_house()
    await house.budget(150, "project", "P")
    await house.budget(90, "user", "U", on_exceed="warn" if warn else "refuse")
    story = Story(house, dying)
    for step in steps:
        await story.play(*step)
    for job, amount in story.charged.items():  # a job asks until its charge is recorded
        assert await house.capture(job, amount)
    house.clock.ms += LATER_MS
    await house.reconciler.run()
    TOTAL["steps"] += story.steps
    TOTAL["deaths"] += story.deaths
    await agree(house, story)


async def agree(house, story):
    report = await house.check()
    assert report["differences"] == []
    attempts = await house.costs.ledger.attempts(story.orders)
    held = spent = 0
    for attempt in attempts.values():
        held, spent = held + attempt.open_uusd, spent + attempt.spent_uusd
    for budget in await house.database["budgets"].find({}):
        assert (budget["held_uusd"], budget["spent_uusd"]) == (held, spent)
        assert budget["left_uusd"] == budget["limit_uusd"] - held - spent
        assert sum(entry["amount"] for entry in budget["open"].values()) == held
    for job, amount in story.charged.items():
        rows = attempts[job, 1].rows
        if "capture" in rows:
            assert rows["capture"]["amount_uusd"] == amount
        else:  # a person had settled it, with the same amount if the vendor said any
            assert rows["adjust"]["amount_uusd"] == amount or amount is None
    unknown = {a.job_id for a in attempts.values() if a.unknown}
    assert {job for job, reason in (await house.flagged()).items() if reason == "unknown_charge"} == unknown


def test_ledger_budgets_and_charges_agree_after_ten_thousand_steps_and_crashes(build_house, dying):
    @settings(
        max_examples=142,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
        print_blob=False,
    )
    @given(st.lists(OPS, min_size=60, max_size=90), st.booleans())
    def play(steps, warn):
        with asyncio.Runner() as runner:
            runner.run(tell(build_house, dying, steps, warn))

    TOTAL.update(steps=0, deaths=0)
    play()
    print(f"\n{TOTAL['steps']} steps, {TOTAL['deaths']} deaths between two writes")
    assert TOTAL["steps"] >= 10_000
    assert TOTAL["deaths"] >= 500


# ---------------------------------------------------------------- the check


@pytest.mark.parametrize(
    ("field", "by"), [("held_uusd", 7), ("spent_uusd", -3), ("left_uusd", 5), ("spent_uusd", 10**9)]
)
async def test_budget_that_somebody_has_edited_is_reported_and_mended_only_on_demand(house, field, by):
    name = await house.budget(100)
    for amount in (10, 20):
        await house.hold(amount, f"job{amount}")
    await house.capture("job10", 10)
    right = await house.figures(name)
    await house.database["budgets"].update({"rule_id": name}, {"$inc": {field: by}})
    for _ in range(2):
        report = await house.check()
        assert {found["what"] for found in report["differences"]} == {f"budget.{field}"}
        assert report["repaired"] == 0
    report = await house.check(repair=True)
    assert (report["repaired"], report["differences"]) == (1, [])
    assert await house.figures(name) == right
    assert (await house.check())["differences"] == []


async def test_reservation_that_was_lost_is_reported_and_made_again(house):
    name = await house.budget(100)
    await house.hold(40)
    await house.database["budgets"].update({"rule_id": name}, {"$set": {"open": {}}})
    report = await house.check()
    assert {found["what"] for found in report["differences"]} >= {"budget.open"}
    assert (await house.check(repair=True))["differences"] == []
    assert await house.figures(name) == (40, 0, 60)


@pytest.mark.parametrize(("cost", "source"), [(31, "reported"), (None, "unknown")])
async def test_job_that_says_another_cost_than_the_ledger_is_reported(house, cost, source):
    await house.hold(40, "job")
    await house.capture("job", 30)
    job = {"_id": "job", "kind": "k", "attempt": 1, "state": "succeeded", "created_at": house.clock.ms}
    await house.database["jobs"].insert(job | {"cost_uusd": cost, "cost_source": source})
    (found,) = (await house.check())["differences"]
    assert found == {"what": "job.cost_uusd", "id": "job", "ledger": 30, "found": cost}


async def test_jobs_from_before_the_ledger_are_not_asked_for(house):
    job = {"kind": "k", "attempt": 1, "state": "succeeded", "cost_uusd": 5, "cost_source": "reported"}
    await house.database["jobs"].insert({"_id": "old", "created_at": house.clock.ms - 1, **job})
    await house.hold(40, "first")
    assert (await house.check())["differences"] == []
    await house.database["jobs"].insert({"_id": "new", "created_at": house.clock.ms, **job})
    assert [found["id"] for found in (await house.check())["differences"]] == ["new"]


async def test_a_night_is_checked_once_by_one_of_several_processes(house, build_house):
    other = build_house(house.database)
    house.clock.ms = other.clock.ms = 1_800_000_000_000 - 4 * 3_600_000  # 04:00 UTC
    ran = []
    for each in (house, other):
        real = each.schedule.check

        async def counted(*args, real=real, **kwargs):
            ran.append(args)
            return await real(*args, **kwargs)

        each.schedule.check = counted
    await asyncio.gather(*(each.schedule.turn() for each in (house, other, house, other)))
    assert len(ran) == 1
    house.clock.ms += 86_400_000
    await house.schedule.turn()
    assert len(ran) == 2
    kept = await house.database["usage_checks"].get("2027-01-15")
    assert (kept["differences"], kept["finished_at"]) == ([], other.clock.ms)


async def test_night_whose_process_died_is_checked_by_another(house, monkeypatch):
    house.clock.ms = 1_800_000_000_000 - 4 * 3_600_000

    async def dies(*_, **__):
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(house.schedule, "check", dies)
        with pytest.raises(asyncio.CancelledError):
            await house.schedule.turn()
    await house.schedule.turn()
    assert "differences" not in await house.database["usage_checks"].get("2027-01-15")
    house.clock.ms += 3_600_000
    await house.schedule.turn()
    assert (await house.database["usage_checks"].get("2027-01-15"))["differences"] == []


async def test_before_the_hour_of_the_check_nothing_runs(house):
    house.clock.ms = 1_800_000_000_000 - 6 * 3_600_000  # 02:00 UTC
    await house.schedule.turn()
    assert await house.database["usage_checks"].get("2027-01-15") is None
