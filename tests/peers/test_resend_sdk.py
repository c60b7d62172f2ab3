"""Resend's own SDK before the fake of our tests: the same requests, and it takes the fake's signature."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from studio import Mail, PluginContext
from studio.testing.kit import HttpClients, Metrics, Services

pytestmark = pytest.mark.peer
SDK = ["resend==2.52.0"]
MAIL = Mail(to="ann@example.org", subject="Grüße", text="Words", html="<p>Words</p>", tags=("otp",))
SEEN = ("authorization", "content-type", "idempotency-key")


@pytest.fixture
async def mailer_at():
    from studio_resend.client import ResendMailer
    from studio_resend.settings import ResendSettings

    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)

    def build(url, key):
        named = ResendSettings(api_key=key, sender="Studio <mail@example.com>", api_url=url)
        return ResendMailer(PluginContext("resend", services, named, structlog.get_logger()))

    yield build
    await services.http.close()


async def test_the_sdk_sends_what_we_send_and_believes_the_webhooks_of_the_fake(load_fake, oracle, mailer_at):
    fakes = load_fake("resend")
    async with fakes.FakeResend().serving() as fake:
        ours = await mailer_at(fake.url, fakes.KEY).send(MAIL, idempotency_key="otp:1")
        own = fake.calls.pop()
        event = fake.event("email.delivered", ours)
        headers = fake.signed(event, "msg_1")
        webhook = {name.removeprefix("svix-"): value for name, value in headers.items()}
        webhook |= {"body": event.decode(), "secret": fakes.SECRET}
        told = json.loads(
            await asyncio.to_thread(
                oracle, "resend_sdk.py", SDK, json.dumps(own.json), "sdk:1", json.dumps(webhook),
                RESEND_API_URL=fake.url,
            )
        )  # fmt: skip
    theirs = fake.calls[0]
    assert (theirs.method, theirs.path, theirs.json) == (own.method, own.path, own.json)
    assert {n: theirs.headers[n] for n in SEEN} == {n: own.headers[n] for n in SEEN} | {
        "idempotency-key": "sdk:1"
    }
    assert told["ids"][0] == told["ids"][1] != ours
    assert len(fake.sent) == 2
    assert told["errors"] == [["409", "invalid_idempotent_request"], ["403", "validation_error"]]
    assert told["verified"] == [True, False]
