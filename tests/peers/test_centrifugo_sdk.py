"""`cent`, Centrifugo's own SDK, before the fake of our tests: it takes its answers and sends what we send."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from studio import Message, PluginContext
from studio.testing.kit import HttpClients, Metrics, Services, Settings

pytestmark = pytest.mark.peer
SDK = ["cent==5.2.0"]


@pytest.fixture
async def transport_at():
    from studio_centrifugo.settings import CentrifugoSettings
    from studio_centrifugo.transport import CentrifugoTransport

    services = Services()
    services.settings = Settings()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)

    def build(url, key):
        named = CentrifugoSettings(api_url=url, api_key=key)
        return CentrifugoTransport(
            PluginContext("centrifugo", services, named, structlog.get_logger()), named
        )

    yield build
    await services.http.close()


async def test_the_sdk_sends_what_we_send_and_reads_the_answers_of_the_fake(load_fake, oracle, transport_at):
    from studio_centrifugo.api import FrontendChannel, FrontendChannels

    fakes = load_fake("centrifugo")
    async with fakes.FakeCentrifugo().serving() as fake:
        url = f"{fake.url}/api"
        transport = transport_at(url, fakes.KEY)
        await transport.send(Message("user", "ann", "job.updated", {"id": "j"}, 7))
        users = [FrontendChannel(FrontendChannels.MINIMATICS, name) for name in ("ann", "bob")]
        transport.broadcast(users, {"topic": "news", "data": {"n": 1}})
        await transport.disconnect("ann")
        await transport.close()
        own = fake.calls.pop()
        told = json.loads(
            await asyncio.to_thread(
                oracle, "cent_sdk.py", SDK, url, fakes.KEY, json.dumps(own.json["commands"])
            )
        )
    theirs = fake.calls[0]
    assert (theirs.method, theirs.path, theirs.json["commands"]) == ("POST", own.path, own.json["commands"])
    for name in ("x-api-key", "content-type"):
        assert theirs.headers[name] == own.headers[name]
    assert len(told["replies"]) == 3
    assert told["once"] == [1, 1]
    assert (told["nodes"], told["history"]) == (1, 1)
    assert told["errors"] == [102, 401]
    assert fake.cut == [("ann", 4501), ("ann", 4501), ("bob", 4501)]
    assert len(fake.seen["minimatics:user#ann"]) == 2, "what the SDK repeated had our keys: it is seen once"
