from __future__ import annotations

import asyncio

import pytest

from studio.auth import Actor
from studio.errors import (
    BudgetExceededError,
    IdempotencyError,
    InvalidInputError,
    NotFoundError,
    ProviderUnavailableError,
    UnavailableError,
)
from studio.jobs.contract import CostDecision
from studio.jobs.store import JOBS_COLLECTION

pytestmark = pytest.mark.memory
ACTOR = Actor(user_id="ada")


async def test_order_comes_back_queued_and_held(world):
    job = await world.jobs.submit(ACTOR, world.order(input={"seed": 1}, model=None, priority=3))
    assert (job["state"], job["state_seq"], job["provider"], job["estimate_uusd"]) == (
        "queued",
        2,
        "fake",
        40_000,
    )
    stored = await world.job(job["_id"])
    assert {key: stored[key] for key in job if key != "updated_at"} == {
        k: v for k, v in job.items() if k != "updated_at"
    }
    hold = world.owner.held[0]
    assert (hold.job_id, hold.attempt, hold.user_id, hold.amount_uusd) == (job["_id"], 1, "ada", 40_000)
    assert world.bell.rings == [(job["_id"], 0.0)]


async def test_refused_hold_fails_the_job_and_says_what_helps(world):
    ways = ({"action": "local"},)
    world.owner.hold = CostDecision(False, "The day's budget is used up.", ways, "day of ada", 86_400_000)
    with pytest.raises(BudgetExceededError, match="used up") as caught:
        await world.jobs.submit(ACTOR, world.order())
    assert caught.value.retry_with == [{"action": "local"}]
    assert caught.value.extra == {"budget": "day of ada", "resetsAt": 86_400_000}
    jobs = await world.database["jobs"].find({})
    assert [(job["state"], job["error"]["code"]) for job in jobs] == [("failed", "budget_exceeded")]
    assert world.bell.rings == []


@pytest.mark.parametrize("answer", [None, UnavailableError("The owner of hold_cost (usage) failed.")])
async def test_missing_or_broken_owner_of_cost_means_no(world, answer):
    world.owner.hold = answer
    with pytest.raises((BudgetExceededError, UnavailableError)):
        await world.jobs.submit(ACTOR, world.order())
    assert {job["state"] for job in await world.database["jobs"].find({})} == {"failed"}
    await world.scan()
    assert not world.vendor.submits


async def test_unknown_kind_is_refused_with_a_choice(world):
    with pytest.raises(InvalidInputError, match=r"image\.generate"):
        await world.jobs.submit(ACTOR, type(world.order())("nope", "p1", {}))


async def test_unknown_provider_stores_nothing(world):
    with pytest.raises(InvalidInputError, match="fake"):
        await world.jobs.submit(ACTOR, world.order(provider="other"))
    assert await world.database["jobs"].count({}) == 0


async def test_capability_without_provider_stores_nothing(world):
    world.providers._entries.clear()
    with pytest.raises(ProviderUnavailableError, match="no plugin that is on"):
        await world.jobs.submit(ACTOR, world.order())
    assert await world.database["jobs"].count({}) == 0


async def test_batch_of_fifty_takes_two_writes(world, monkeypatch):
    writes = []
    repository = world.database["jobs"]
    for name in ("insert_many", "insert", "update", "find_and_update"):
        original = getattr(repository, name)

        async def counted(*args, _original=original, _name=name, **kwargs):
            writes.append(_name)
            return await _original(*args, **kwargs)

        monkeypatch.setattr(repository, name, counted)
    orders = [world.order(input={"n": n}, batch_id="b1") for n in range(50)]
    jobs = await world.jobs.submit_many(ACTOR, orders)
    assert writes[0] == "insert_many"
    assert [name for name in writes if name != "insert"] == ["insert_many", "update"]
    assert [job["input"]["n"] for job in jobs] == list(range(50))
    assert {job["state"] for job in await world.database["jobs"].find({"batch_id": "b1"})} == {"queued"}
    assert len(world.bell.rings) == 50


async def test_batch_over_the_page_size_is_complete(world):
    jobs = await world.jobs.submit_many(ACTOR, [world.order(input={"n": n}) for n in range(230)])
    assert [job["input"]["n"] for job in jobs] == list(range(230))


async def test_batch_against_a_budget_for_ten_accepts_ten(world):
    room = iter(range(10))
    world.owner.hold = lambda hold: CostDecision(next(room, None) is not None, "used up")
    jobs = await world.jobs.submit_many(ACTOR, [world.order() for _ in range(50)])
    states = [job["state"] for job in jobs]
    assert (states.count("queued"), states.count("failed")) == (10, 40)
    assert len(world.bell.rings) == 10


async def test_fifty_parallel_orders_against_a_budget_for_ten_accept_ten(world):
    room = iter(range(10))
    world.owner.hold = lambda hold: CostDecision(next(room, None) is not None, "used up")
    orders = (world.jobs.submit(ACTOR, world.order()) for _ in range(50))
    answers = await asyncio.gather(*orders, return_exceptions=True)
    assert sum(isinstance(answer, dict) for answer in answers) == 10
    assert sum(isinstance(answer, BudgetExceededError) for answer in answers) == 40


async def test_same_hash_returns_the_active_job(world):
    first = await world.submit(dedupe_hash="h")
    assert await world.submit(dedupe_hash="h") == first
    assert await world.submit(dedupe_hash="h", project_id="p2") != first
    await world.play()
    assert await world.submit(dedupe_hash="h") != first


async def test_same_hash_within_a_batch_is_one_job(world):
    jobs = await world.jobs.submit_many(ACTOR, [world.order(dedupe_hash="h") for _ in range(3)])
    assert len({job["_id"] for job in jobs}) == 1


async def test_same_hash_ordered_at_the_same_time_is_one_job(world, monkeypatch):
    async def blind(orders):
        monkeypatch.undo()
        return {}

    first = await world.submit(dedupe_hash="h")
    monkeypatch.setattr(world.jobs, "_twins", blind)
    assert await world.submit(dedupe_hash="h") == first
    assert await world.database["jobs"].count({}) == 1


async def test_retry_keeps_the_hash_active(world, say):
    world.vendor.answers = [say.failed()]
    job_id = await world.submit(dedupe_hash="h")
    await world.play()
    await world.jobs.retry(job_id)
    assert await world.submit(dedupe_hash="h") == job_id


async def test_same_key_returns_the_first_job_even_when_it_has_ended(world):
    first = await world.jobs.submit(ACTOR, world.order(), idempotency_key="k")
    await world.play()
    again = await world.jobs.submit(ACTOR, world.order(), idempotency_key="k")
    assert (again["_id"], again["state"]) == (first["_id"], "succeeded")
    other = await world.jobs.submit(Actor(user_id="bob"), world.order(), idempotency_key="k")
    assert other["_id"] != first["_id"]


async def test_same_key_for_another_order_is_refused(world):
    await world.jobs.submit(ACTOR, world.order(), idempotency_key="k")
    with pytest.raises(IdempotencyError):
        await world.jobs.submit(ACTOR, world.order(input={"seed": 2}), idempotency_key="k")


async def test_same_key_at_the_same_time_is_one_job(world):
    orders = (world.jobs.submit(ACTOR, world.order(), idempotency_key="k") for _ in range(10))
    jobs = await asyncio.gather(*orders)
    assert len({job["_id"] for job in jobs}) == 1
    assert await world.database["jobs"].count({}) == 1


BOB = Actor(user_id="bob")


@pytest.mark.parametrize("change", [{"provider": "fake"}, {"model": "m"}, {"priority": 5}])
async def test_same_key_for_another_provider_model_or_priority_is_refused(world, change):
    await world.jobs.submit(ACTOR, world.order(), idempotency_key="k")
    with pytest.raises(IdempotencyError):
        await world.jobs.submit(ACTOR, world.order(**change), idempotency_key="k")


@pytest.mark.parametrize(("actor", "first_key"), [(ACTOR, None), (ACTOR, "first"), (BOB, None), (BOB, "k")])
async def test_key_that_met_a_running_twin_buys_nothing_when_it_is_repeated(world, actor, first_key):
    order = world.order(dedupe_hash="h")
    twin = await world.jobs.submit(actor, order, idempotency_key=first_key)
    assert (await world.jobs.submit(ACTOR, order, idempotency_key="k"))["_id"] == twin["_id"]
    await world.play()
    again = await world.jobs.submit(ACTOR, order, idempotency_key="k")
    assert (again["_id"], again["state"]) == (twin["_id"], "succeeded")
    assert (await world.jobs.of_key(ACTOR, "k"))["_id"] == twin["_id"]
    assert sum(world.vendor.submits.values()) == 1
    with pytest.raises(IdempotencyError):
        await world.jobs.submit(ACTOR, world.order(input={"seed": 2}), idempotency_key="k")


async def test_key_that_met_a_twin_of_another_priority_stands_for_its_own_order(world):
    await world.submit(dedupe_hash="h", priority=1)
    order = world.order(dedupe_hash="h", priority=2)
    twin = await world.jobs.submit(ACTOR, order, idempotency_key="k")
    assert await world.jobs.submit(ACTOR, order, idempotency_key="k") == twin


async def test_note_of_a_key_is_no_job(world):
    await world.submit(dedupe_hash="h")
    await world.jobs.submit(ACTOR, world.order(dedupe_hash="h"), idempotency_key="k")
    (note,) = await world.database["jobs"].find({"kind": {"$exists": False}})
    with pytest.raises(NotFoundError):
        await world.jobs.get(note["_id"])
    assert len((await world.jobs.page("p1")).items) == 1


async def test_retry_takes_the_cost_of_the_last_attempt_away(world, say):
    world.vendor.answers = [say.failed(cost_uusd=7), say.failed()]
    job_id = await world.submit()
    await world.play()
    assert (await world.job(job_id))["cost_uusd"] == 7
    await world.jobs.retry(job_id)
    assert not {"cost_uusd", "cost_source"} & (await world.job(job_id)).keys()
    await world.play()
    job = await world.job(job_id)
    assert (job["state"], job.get("cost_uusd")) == ("failed", None)
    assert world.owner.ledger[job_id, 1, "capture"].amount_uusd == 7


async def test_page_lists_newest_first_by_project_and_batch(world):
    ids = [await world.submit(batch_id="b") for _ in range(3)]
    await world.submit(project_id="p2")
    page = await world.jobs.page("p1", limit=2)
    assert [job["_id"] for job in page.items] == ids[:0:-1]
    rest = await world.jobs.page("p1", limit=2, cursor=page.next_cursor)
    assert [job["_id"] for job in rest.items] == ids[:1]
    assert len((await world.jobs.page("p1", batch_id="b", state="queued")).items) == 3
    assert (await world.jobs.page("p1", state="failed")).items == []


async def test_indexes_hold_one_job_per_provider_id():
    unique = [index.keys for index in JOBS_COLLECTION.indexes if index.unique]
    assert (("provider", 1), ("provider_job_id", 1)) in unique
    assert len(JOBS_COLLECTION.indexes) <= 6
