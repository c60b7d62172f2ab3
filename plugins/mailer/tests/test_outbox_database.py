"""The claims on a real database: two processes, each mail once."""

from __future__ import annotations

import asyncio

import pytest

from studio import ProviderError
from studio_mailer.plugin import Plugin

pytestmark = pytest.mark.database


async def test_two_processes_on_one_database_send_each_mail_once(database, build_office):
    database.declare([("mailer", c) for c in Plugin().register_collections(None)])
    await database.ensure()
    one = build_office(database)
    two = build_office(database, one.clock, one.post)
    wanted = [f"a{number}@example.org" for number in range(24)]
    for to in wanted:
        await one.enqueue(key=to, to=to)
        await one.enqueue(key=to, to=to)
    one.post.troubles.append(ProviderError("Down."))
    for _ in range(2):
        while sum(await asyncio.gather(one.delivery.deliver_due(), two.delivery.deliver_due())):
            pass
        one.clock.pass_s(60)
    assert sorted(mail.to for mail in one.post.sent) == sorted(wanted)
    assert one.post.calls == len(wanted) + 1
    states = {mail["state"] for mail in await one.box.find({})}
    assert states == {"sent"}
