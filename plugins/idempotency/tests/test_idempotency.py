from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from studio import (
    PUBLIC,
    SIGNED_IN,
    BudgetExceededError,
    ConflictError,
    DatabaseUnavailableError,
    Model,
    OutcomeUnknownError,
    ProviderError,
    Route,
    now_ms,
)
from studio_idempotency import service as idempotency

pytestmark = pytest.mark.http


class Order(Model):
    title: str = ""


class Receipt(Model):
    number: int
    title: str


class Shop:
    """Counts what really happened."""

    def __init__(self) -> None:
        self.runs = 0
        self.once: list[str | None] = []
        self.fail: BaseException | None = None
        self.hold: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def place_order(self, request, body: Order):
        self.runs += 1
        self.once.append(request.once)
        self.entered.set()
        if self.hold:
            await self.hold.wait()
        if self.fail:
            raise self.fail
        return Receipt(number=self.runs, title=body.title)


@pytest.fixture
def shop():
    return Shop()


def order(shop, permission=SIGNED_IN, **given):
    return Route("POST", "/api/orders", shop.place_order, permission, status=201, **given)


async def place(house, key="k-1", who="ann", title="a", path="/api/orders"):
    headers = {"Idempotency-Key": key} if key is not None else {}
    return await house.call("POST", path, who, json={"title": title}, headers=headers)


async def test_same_key_and_body_gets_the_first_answer_without_a_second_run(serve, shop):
    house = await serve(order(shop))
    first, second = await place(house), await place(house)
    assert (first.status, second.status, shop.runs) == (201, 201, 1)
    assert first.body == second.body
    assert second.type == "application/json"
    assert second.headers["Idempotent-Replay"] == "true"
    assert "Idempotent-Replay" not in first.headers
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


async def test_without_the_key_every_request_runs_and_nothing_is_stored(serve, shop):
    house = await serve(order(shop))
    await place(house, None)
    await place(house, None)
    assert (shop.runs, shop.once, await house.keys.count({})) == (2, [None, None], 0)


async def test_same_key_with_another_body_or_query_is_409(serve, shop):
    house = await serve(order(shop))
    await place(house)
    for answer in (await place(house, title="b"), await place(house, path="/api/orders?dry=1")):
        assert (answer.status, answer.data["code"]) == (409, "idempotency_key_reused")
    assert shop.runs == 1


async def test_keys_belong_to_one_user_and_one_address(serve, shop):
    async def other(request, body: Order):
        return Receipt(number=99, title=body.title)

    house = await serve(order(shop), Route("PUT", "/api/orders", other, SIGNED_IN))
    await place(house)
    assert (await place(house, who="bob")).data["number"] == 2
    put = await house.call("PUT", "/api/orders", json={"title": "a"}, headers={"Idempotency-Key": "k-1"})
    assert put.data["number"] == 99


async def test_anonymous_keys_work_on_public_routes(serve, shop):
    house = await serve(order(shop, PUBLIC))
    await place(house, who=None)
    assert (await place(house, who=None)).headers["Idempotent-Replay"] == "true"
    assert shop.runs == 1


async def test_stored_key_is_a_hash_that_expires_in_a_day(serve, shop):
    house = await serve(order(shop))
    await place(house, key="readable-key")
    [stored] = await house.keys.find({})
    assert "readable-key" not in str(stored)
    assert 86_000 < stored["expires_at"].timestamp() - now_ms() / 1000 <= 86_400


@pytest.mark.parametrize("key", ["", "a" * 256, "tab\tin it", "émile"])
async def test_malformed_key_is_400(serve, shop, key):
    house = await serve(order(shop))
    answer = await place(house, key=key)
    assert (answer.status, shop.runs) == (400, 0)


async def test_second_request_while_the_first_runs_is_409_with_retry_after(serve, shop):
    shop.hold = asyncio.Event()
    house = await serve(order(shop))
    first = asyncio.create_task(place(house))
    await shop.entered.wait()
    second = await place(house)
    shop.hold.set()
    assert (second.status, second.data["code"]) == (409, "idempotency_in_progress")
    assert second.headers["Retry-After"] == "1"
    assert (await first).status == 201
    assert (await place(house)).headers["Idempotent-Replay"] == "true"
    assert shop.runs == 1


async def test_fifty_concurrent_requests_have_one_effect(serve, shop):
    house = await serve(order(shop))
    answers = await asyncio.gather(*(place(house) for _ in range(50)))
    assert shop.runs == 1
    assert {answer.status for answer in answers} <= {201, 409}


class Clock:
    """The clock by which this process watches the claims of others."""

    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(idempotency, "_watch", idempotency._Watch(found))
    monkeypatch.setattr(idempotency, "BEAT_S", 0.01)
    return found


async def broken_off(house, **changes):
    """Leave a claim as a process does that died before it had an answer."""
    await place(house)
    [stored] = await house.keys.find({})
    gone = {"status": "", "body": "", "headers": ""}
    await house.keys.update(stored["_id"], {"$unset": gone, "$set": {"owner": "dead", **changes}})
    return stored


async def test_claim_of_a_dead_process_runs_again_with_the_same_id(serve, shop, clock):
    house = await serve(order(shop))
    stored = await broken_off(house)
    for clock.now in (1_000.0, 1_004.9):
        assert (await place(house)).data["code"] == "idempotency_in_progress"
    clock.now = 1_005.0
    again = await place(house)
    assert (again.status, shop.runs) == (201, 2)
    assert shop.once[0] == shop.once[1] == stored["once"]
    assert len(shop.once[0] or "") == 26
    assert (await place(house)).headers["Idempotent-Replay"] == "true"


async def test_claim_whose_heart_beats_is_never_taken_whatever_the_clocks_say(
    serve, shop, clock, monkeypatch
):
    """The process that asks is an hour ahead; it looks every four seconds, for a minute."""
    house = await serve(order(shop))
    stored = await broken_off(house)
    ahead = time.time_ns() + 3_600_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: ahead)
    for beat in range(15):
        await house.keys.update(stored["_id"], {"$set": {"beat": beat}})
        assert (await place(house)).status == 409
        clock.now += 4.0
    assert shop.runs == 1


async def test_claim_that_beats_again_after_the_database_was_away_is_not_taken(
    serve, shop, clock, monkeypatch
):
    """Nobody saw a beat while it was away, and the first who asks afterwards may be quicker than the owner."""
    house = await serve(order(shop))
    stored = await broken_off(house)
    assert (await place(house)).status == 409
    clock.now += 60.0
    sleep = asyncio.sleep

    async def owner_beats_meanwhile(seconds):
        await house.keys.update(stored["_id"], {"$inc": {"beat": 1}})
        await sleep(seconds)

    monkeypatch.setattr(idempotency.asyncio, "sleep", owner_beats_meanwhile)
    assert ((await place(house)).status, shop.runs) == (409, 1)


async def test_running_request_says_so_and_stops_saying_so(serve, shop, monkeypatch):
    monkeypatch.setattr(idempotency, "BEAT_S", 0.02)
    shop.hold = asyncio.Event()
    house = await serve(order(shop))
    first = asyncio.create_task(place(house))
    await shop.entered.wait()
    async with asyncio.timeout(10):
        while (stored := (await house.keys.find({}))[0])["beat"] < 3:
            await asyncio.sleep(0.01)
    shop.hold.set()
    assert (await first).status == 201
    assert (await house.keys.get(stored["_id"]))["status"] == 201
    assert not [task for task in asyncio.all_tasks() if "_beat" in repr(task.get_coro())]


async def test_heartbeat_that_loses_its_cancellation_ends_with_the_answer(
    serve, shop, monkeypatch, deaf_beats
):
    monkeypatch.setattr(idempotency, "BEAT_S", 0.02)
    shop.hold = asyncio.Event()
    house = await serve(order(shop))
    beats = deaf_beats(house.keys, lambda _, change: "$inc" in change)
    first = asyncio.create_task(place(house))
    async with asyncio.timeout(10):
        await beats.get()
        shop.hold.set()
        assert (await first).status == 201
        while [task for task in asyncio.all_tasks() if "_beat(" in repr(task)]:
            await asyncio.sleep(0.01)


async def test_claim_of_an_older_version_without_a_heartbeat_goes_stale_too(serve, shop, clock):
    house = await serve(order(shop))
    stored = await broken_off(house)
    await house.keys.update(stored["_id"], {"$unset": {"owner": "", "beat": ""}, "$set": {"until": 0}})
    assert (await place(house)).status == 409
    clock.now += 5
    assert ((await place(house)).status, shop.runs) == (201, 2)


async def test_database_that_goes_away_in_the_middle_leaves_the_key_to_the_same_run(serve, shop):
    """What was written before it went away may be there: the next run must find it by the same `once`."""
    house = await serve(order(shop))
    shop.fail = DatabaseUnavailableError("away")
    assert (await place(house)).status == 503
    shop.fail = None
    assert ((await place(house)).status, shop.runs) == (201, 2)
    assert shop.once[0] == shop.once[1]
    shop.fail = ConflictError("no")
    assert (await place(house, "k-2")).status == 409
    shop.fail = None
    assert (await place(house, "k-2")).status == 201
    assert shop.once[2] != shop.once[3], "a refusal says that nothing was done"


async def test_stale_claim_is_taken_by_one_of_many(serve, shop, monkeypatch):
    house = await serve(order(shop))
    await broken_off(house, beat=idempotency.FREE)
    all_have_read, get = asyncio.Barrier(5), house.keys.get

    async def get_together(document_id):
        found = await get(document_id)
        await all_have_read.wait()
        return found

    monkeypatch.setattr(house.keys, "get", get_together)
    answers = await asyncio.gather(*(place(house) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    assert shop.runs == 2


@pytest.mark.parametrize(
    "refusal",
    [
        BudgetExceededError("top up"),
        ConflictError("no"),
        DatabaseUnavailableError("away"),
        ProviderError("safe"),
    ],
)
async def test_refusal_frees_the_key(serve, shop, refusal):
    house = await serve(order(shop))
    shop.fail = refusal
    assert (await place(house)).status == refusal.status
    shop.fail = None
    answer = await place(house)
    assert (answer.status, shop.runs) == (201, 2)
    assert "Idempotent-Replay" not in answer.headers


async def test_refused_input_does_not_use_the_key_up(serve, shop):
    house = await serve(order(shop))
    refused = await house.call("POST", "/api/orders", json={"x": 1}, headers={"Idempotency-Key": "k-1"})
    assert refused.status == 422
    assert (await place(house)).status == 201


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("half done"), 500), (OutcomeUnknownError("sent"), 502), (TimeoutError(), 504)],
)
async def test_unknown_outcome_is_kept_and_never_run_again(serve, shop, error, status):
    house = await serve(order(shop))
    shop.fail = error
    assert (await place(house)).status == status
    shop.fail = None
    again = await place(house)
    assert (again.status, again.data["code"], shop.runs) == (502, "outcome_unknown", 1)
    assert again.type == "application/problem+json"


async def test_deadline_keeps_the_key_as_unknown(serve, shop):
    shop.hold = asyncio.Event()
    house = await serve(order(shop, deadline_s=0.05))
    assert (await place(house)).status == 504
    assert ((await place(house)).status, shop.runs) == (502, 1)


async def test_route_that_is_not_idempotent_ignores_the_key(serve, shop):
    house = await serve(order(shop, idempotent=False))
    await place(house)
    assert ((await place(house)).data["number"], await house.keys.count({})) == (2, 0)


async def test_reads_ignore_the_key(serve):
    async def read(request):
        return web.Response(text="x")

    house = await serve(Route("GET", "/api/orders", read, SIGNED_IN))
    await house.call("GET", "/api/orders", headers={"Idempotency-Key": "k"})
    assert await house.keys.count({}) == 0


async def stream(request):
    answer = web.StreamResponse()
    await answer.prepare(request.raw)
    await answer.write(b"x")
    return answer


async def huge(request):
    return web.Response(body=b"x" * (idempotency._LARGEST_ANSWER + 1))


@pytest.mark.parametrize("give", [stream, huge])
async def test_answer_that_cannot_be_kept_has_no_second_effect(serve, give):
    runs = []

    async def export(request):
        runs.append(1)
        return await give(request)

    house = await serve(Route("POST", "/api/export", export, SIGNED_IN))
    first, again = [
        await house.call("POST", "/api/export", headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert (first.status, set(first.body)) == (200, set(b"x"))
    assert (again.status, again.data["code"], len(runs)) == (502, "outcome_unknown", 1)


async def test_answer_that_is_raised_is_kept_too(serve):
    runs = []

    async def create(request):
        runs.append(1)
        raise web.HTTPSeeOther("/api/orders/7")

    house = await serve(Route("POST", "/api/orders", create, SIGNED_IN))
    for _ in range(2):
        answer = await house.call("POST", "/api/orders", headers={"Idempotency-Key": "k"})
        assert (answer.status, answer.headers["Location"]) == (303, "/api/orders/7")
    assert len(runs) == 1


async def test_location_is_replayed(serve):
    async def create(request):
        return web.Response(status=201, headers={"Location": "/api/orders/7", "Set-Cookie": "a=b"})

    house = await serve(Route("POST", "/api/orders", create, SIGNED_IN))
    await house.call("POST", "/api/orders", headers={"Idempotency-Key": "k"})
    again = await house.call("POST", "/api/orders", headers={"Idempotency-Key": "k"})
    assert (again.status, again.headers["Location"]) == (201, "/api/orders/7")
    assert "Set-Cookie" not in again.headers


async def test_deleted_thing_replays_its_204(serve):
    stories = {"s1": {"_id": "s1", "project_id": "p1"}}

    async def load(request):
        return stories.get("s1")

    async def delete_story(request):
        stories.clear()

    house = await serve(Route("DELETE", "/api/stories/s1", delete_story, "story:write", load=load))
    headers = {"Idempotency-Key": "k"}
    assert (await house.call("DELETE", "/api/stories/s1", headers=headers)).status == 204
    assert (await house.call("DELETE", "/api/stories/s1", headers=headers)).status == 204
    assert (await house.call("DELETE", "/api/stories/s1")).status == 404


async def test_database_that_goes_away_after_the_effect_does_not_hide_the_answer(serve, shop, monkeypatch):
    async def away(*_, **__):
        raise DatabaseUnavailableError

    house = await serve(order(shop))
    monkeypatch.setattr(house.keys, "update", away)
    assert (await place(house)).status == 201
    assert (await place(house)).data["code"] == "idempotency_in_progress"
