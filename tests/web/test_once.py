"""A write that carries an `Idempotency-Key`, as the kernel sees it: who keeps keys is a plugin's business."""

from __future__ import annotations

import pytest

from studio import PUBLIC, SIGNED_IN, Model, Route

pytestmark = pytest.mark.http
KEY = {"Idempotency-Key": "k-1"}


class Order(Model):
    title: str


class Receipt(Model):
    title: str


@pytest.fixture
def runs():
    return []


@pytest.fixture
def order(runs):
    async def place_order(request, body: Order):
        runs.append(body.title)
        return Receipt(title=body.title)

    return Route("POST", "/api/orders", place_order, SIGNED_IN)


async def test_a_key_that_nobody_would_remember_is_refused_and_nothing_runs(serve, order, runs):
    house = await serve(order)
    refused = await house.call("POST", "/api/orders", json={"title": "a"}, headers=KEY)
    assert (refused.status, refused.data["code"], runs) == (503, "idempotency_unavailable", [])
    assert (await house.call("POST", "/api/orders", json={"title": "a"})).status == 200
    assert runs == ["a"]


async def test_reads_and_routes_that_are_not_idempotent_ask_nobody(serve, runs):
    async def read(request):
        runs.append("read")

    async def sign(request):
        runs.append("sign")

    house = await serve(
        Route("GET", "/api/orders", read, PUBLIC),
        Route("POST", "/api/sign", sign, PUBLIC, idempotent=False),
    )
    assert (await house.call("GET", "/api/orders", headers=KEY)).status == 204
    assert (await house.call("POST", "/api/sign", headers=KEY)).status == 204
    assert runs == ["read", "sign"]


async def test_the_keeper_gets_the_checked_request_and_runs_it(serve, order, runs):
    asked = []

    async def keep(request, route, data, run):
        asked.append((request.actor.user_id, request.body.title, route.path, data))
        return await run()

    house = await serve(order, run_once=keep)
    bad = await house.call("POST", "/api/orders", json={"titel": "a"}, headers=KEY)
    assert (bad.status, asked) == (422, [])
    good = await house.call("POST", "/api/orders", json={"title": "a"}, headers=KEY)
    assert (good.status, runs) == (200, ["a"])
    assert asked == [("ann", "a", "/api/orders", b'{"title": "a"}')]
