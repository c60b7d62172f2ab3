"""The inbox on a real database: copies at the same time, and a process that ends between store and work."""

from __future__ import annotations

import asyncio

import pytest

from studio.testing.servers import temporary_database
from studio_webhooks.plugin import COLLECTIONS
from studio_webhooks.service import INBOX

pytestmark = pytest.mark.database
BODY = b'{"job":"v-1","state":"succeeded"}'


async def test_fifty_copies_at_the_same_time_have_one_effect(database, build_house):
    database.declare([("webhooks", c) for c in COLLECTIONS])
    await database.ensure()
    one = build_house(database)
    two = build_house(database, one.clock, one.jobs)
    await one.call()
    await one.heard.work_due()
    one.jobs.heard.clear()
    copies = (house.call(BODY, delivery="msg_same") for house in (one, two) for _ in range(25))
    receipts = await asyncio.gather(*copies)
    assert sorted(receipt["duplicate"] for receipt in receipts) == [False] + [True] * 49
    await asyncio.gather(one.heard.work_due(), two.heard.work_due())
    assert len(one.jobs.heard) == 1
    assert await database[INBOX].count({"delivery_id": "msg_same", "state": "processed"}) == 1


async def test_two_processes_hear_each_call_once(database, build_house):
    database.declare([("webhooks", c) for c in COLLECTIONS])
    await database.ensure()
    one = build_house(database)
    two = build_house(database, one.clock, one.jobs)
    for number in range(24):
        await one.call(f'{{"job":"w-{number}","state":"succeeded"}}'.encode())
    while sum(await asyncio.gather(one.heard.work_due(), two.heard.work_due())):
        pass
    heard = sorted(news.provider_job_id for _, news, _ in one.jobs.heard)
    assert heard == sorted(f"w-{number}" for number in range(24))


async def test_fifty_copies_over_http_end_one_job_once(
    database_server_url, serve, tmp_path, sign, order, until
):
    async with temporary_database(database_server_url) as database, serve(tmp_path, database) as studio:
        job = await order(studio)
        body = f'{{"job":"{job["provider_job_id"]}","state":"succeeded"}}'.encode()
        headers = sign(body)
        answers = await asyncio.gather(
            *(studio.call("POST", "/api/webhooks/vendor", data=body, headers=headers) for _ in range(50))
        )
        assert {answer.status for answer in answers} == {202}
        assert sum(not answer.json["duplicate"] for answer in answers) == 1
        await until(studio, job["_id"], "succeeded")
        assert len(studio.accepted) == 1


async def test_restart_between_store_and_work_loses_nothing(
    database_server_url, serve, tmp_path, sign, order, until, monkeypatch
):
    from studio_webhooks.worker import Worker

    async with temporary_database(database_server_url) as first:
        with monkeypatch.context() as patched:
            patched.setattr(Worker, "begin_due", nothing)
            async with serve(tmp_path, first) as studio:
                job = await order(studio)
                body = f'{{"job":"{job["provider_job_id"]}","state":"succeeded"}}'.encode()
                answer = await studio.call("POST", "/api/webhooks/vendor", data=body, headers=sign(body))
                assert answer.status == 202
                assert await first[INBOX].count({"state": "received"}) == 1
        reopened = type(first)(database_server_url, settings_of(first))
        async with serve(tmp_path, reopened) as studio:
            await until(studio, job["_id"], "succeeded")
            assert [found[0] for found in studio.accepted] == [job["_id"]]
            assert await reopened[INBOX].count({"state": "received"}) == 0


async def nothing(self):
    return 0


def settings_of(database):
    """Return the settings that lead another client to the same two databases."""
    from studio.testing.kit import Settings

    names = {place: name for place, (_, name) in database._places.items()}
    kind = Settings.model_fields["database"].annotation
    return kind(timeout_ms=15_000, studio_name=names["studio"], stories_name=names["stories"])
