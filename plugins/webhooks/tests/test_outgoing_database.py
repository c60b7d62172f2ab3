"""Endpoints and deliveries on a real database: two processes, each event once, never too many endpoints."""

from __future__ import annotations

import asyncio

import pytest

from studio import Actor, ConflictError, now_ms
from studio_webhooks.events import Occurrence
from studio_webhooks.models import EndpointCreate
from studio_webhooks.plugin import COLLECTIONS

pytestmark = pytest.mark.database


async def test_two_processes_on_one_database_deliver_each_event_once(database, build_house, receiver):
    database.declare([("webhooks", c) for c in COLLECTIONS])
    await database.ensure()
    one = build_house(database, private_hosts=["127.0.0.1"])
    one.clock.ms = now_ms()
    two = build_house(database, one.clock, private_hosts=["127.0.0.1"])
    async with receiver.server() as server:
        for number in range(3):
            url = str(server.make_url(f"/{number}"))
            made = EndpointCreate(project_id="p1", url=url, event_types=["*"])
            endpoint = await one.endpoints.create_endpoint(Actor("ann"), made)
            receiver.secrets[f"/{number}"] = endpoint["secret"]
        for number in range(10):
            for house in (one, two):  # as if both had heard of it
                house.outbox.note(Occurrence(f"e{number}", "p1", "story.created", 1, {}))
        await asyncio.gather(one.outbox.store_noted(), two.outbox.store_noted())
        while sum(await asyncio.gather(one.sent.work_due(), two.sent.work_due())):
            pass
        told = sorted((path, said["data"]["id"]) for path, _, said in receiver.taken)
        assert told == sorted((f"/{path}", f"e{number}") for path in range(3) for number in range(10))
        assert await one.deliveries.count({"state": "delivered"}) == 30


async def test_many_at_the_same_time_are_no_more_than_a_project_may_have(database, build_house):
    database.declare([("webhooks", c) for c in COLLECTIONS])
    await database.ensure()
    houses = [build_house(database, endpoints=3) for _ in range(2)]
    body = EndpointCreate(project_id="crowded", url="https://example.org/", event_types=["*"])
    answers = await asyncio.gather(
        *(house.endpoints.create_endpoint(Actor("ann"), body) for house in houses for _ in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, dict) for answer in answers) == 3
    assert sum(isinstance(answer, ConflictError) for answer in answers) == 17
    assert await database["webhook_endpoints"].count({"project_id": "crowded"}) == 3
