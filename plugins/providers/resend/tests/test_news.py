"""What Resend tells of a mail: believed only with a good signature over the bytes that came."""

from __future__ import annotations

import base64
import time

import pytest
from standardwebhooks.webhooks import Webhook

from studio import BadRequestError, UnauthenticatedError, UnavailableError, WebhookCall

pytestmark = pytest.mark.http
OTHER = "whsec_" + base64.b64encode(b"another secret of thirty-two byt").decode()


def call_of(body, headers):
    return WebhookCall(path="/api/webhooks/resend", headers=headers, body=body, received_at=1)


@pytest.fixture
def read(mailer_at, resend_fakes):
    mailer = mailer_at(webhook_secret=resend_fakes.SECRET)
    return lambda body, headers: mailer.parse_webhook(call_of(body, headers))


@pytest.fixture(scope="session")
def signer(resend_fakes):
    return resend_fakes.FakeResend().signed


@pytest.mark.parametrize(
    ("name", "kind", "at_ms"),
    [
        ("webhook_delivered.json", "email.delivered", 1_795_390_872_126),
        ("webhook_bounced.json", "email.bounced", 1_795_390_872_126),
        ("webhook_complained.json", "email.complained", 1_795_390_872_126),
        ("webhook_contact_created.json", "contact.created", 1_794_943_942_980),
    ],
)
async def test_a_captured_event_is_read(read, signer, payload, name, kind, at_ms):
    body = payload(name)
    news = await read(body, signer(body, "msg_7"))
    assert (news.kind, news.delivery_id, news.at_ms) == (kind, "msg_7", at_ms)
    assert (news.provider_job_id, news.generation) == (None, None)


async def test_the_signature_of_another_implementation_is_taken(read, payload, resend_fakes):
    from datetime import UTC, datetime

    body, now = payload("webhook_delivered.json"), datetime.now(UTC)
    signature = Webhook(resend_fakes.SECRET).sign("msg_1", now, body.decode())
    headers = {"svix-id": "msg_1", "svix-timestamp": str(int(now.timestamp())), "svix-signature": signature}
    assert (await read(body, headers)).kind == "email.delivered"


async def test_during_a_rotation_either_of_two_signatures_will_do(read, signer, payload):
    body = payload("webhook_delivered.json")
    good, old = signer(body), signer(body, secret=OTHER)
    headers = good | {"svix-signature": f"{old['svix-signature']} {good['svix-signature']}"}
    assert (await read(body, headers)).kind == "email.delivered"


def forged(signer, body, secret):
    """Yield (what is wrong, body, headers) for calls that must not be believed."""
    good, now = signer(body), int(time.time())
    sign, mac = good["svix-signature"], good["svix-signature"].partition(",")[2]
    yield "other secret", body, signer(body, secret=OTHER)
    yield "one byte more", body + b" ", good
    yield "one byte less", body[:-1], good
    yield "another body", body.replace(b"delivered", b"bounced"), good
    yield "empty body", b"", good
    yield "no JSON, not signed", b"\xff\xfe", good
    for name in good:
        yield f"without {name}", body, {k: v for k, v in good.items() if k != name}
        yield f"empty {name}", body, good | {name: ""}
    yield "no headers", body, {}
    yield "another id", body, good | {"svix-id": "msg_2"}
    yield "names of the standard", body, {k.replace("svix", "webhook"): v for k, v in good.items()}
    for shift in (-301, -86_400, 302, 86_400):
        yield f"clock {shift} s", body, signer(body, at=now + shift)
    yield "time moved", body, good | {"svix-timestamp": str(now + 60)}
    for stamp in ("nan", "inf", "1e400", "-1", "now", "0x7", "9" * 400, "٣"):
        yield f"time {stamp[:6]}", body, good | {"svix-timestamp": stamp}
    for shape in (
        mac,
        f"v1{mac}",
        f"v2,{mac}",
        f"v1a,{mac}",
        f"V1,{mac}",
        "v1,",
        "v1,====",
        "v1,ä",
        "v1",
        ",",
        " ",
        f"v1,{mac[:-6]}",
        f"{sign},{mac}",
        f"v1,{mac}x,",
        f"v1;{mac}",
        f"v1,{base64.b64decode(mac).hex()}",
    ):
        yield f"signature {shape[:12]}", body, good | {"svix-signature": shape}
    for guess in (b"", b"whsec_", secret.encode()):
        key = "whsec_" + base64.b64encode(guess).decode()
        yield f"key {guess[:6]!r}", body, signer(body, secret=key)


async def outcome(reading):
    try:
        return await reading
    except UnauthenticatedError as error:
        return error.code


async def test_no_forged_call_is_believed(read, signer, payload, resend_fakes):
    body = payload("webhook_delivered.json")
    cases = list(forged(signer, body, resend_fakes.SECRET))
    assert len(cases) >= 30
    believed = [
        what for what, sent, headers in cases if await outcome(read(sent, headers)) != "webhook_signature"
    ]
    assert not believed


async def test_what_a_stranger_would_try_is_refused(read, signer, payload, load_fake):
    def sign(body, *, at_s=None, forged=False):
        counted.append(body)
        return signer(body, f"msg_{len(counted)}", at=at_s, **({"secret": OTHER} if forged else {}))

    counted, body = [], payload("webhook_delivered.json")
    cases = load_fake("forgeries").forgeries(sign(body), body, sign)
    assert len(cases) >= 30
    believed = [
        what for what, headers, sent in cases if await outcome(read(sent, headers)) != "webhook_signature"
    ]
    assert not believed


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"7", b'{"type":"email.sent"}', b'{"type":1,"created_at":"x","data":{}}',
     b'{"type":"email.sent","created_at":"2026-11-22T23:41:12Z","data":[]}'],
)  # fmt: skip
async def test_a_signed_body_that_is_no_event_is_a_bad_request(read, signer, body):
    with pytest.raises(BadRequestError):
        await read(body, signer(body))


async def test_without_a_secret_nothing_can_be_checked(mailer_at, signer):
    with pytest.raises(UnavailableError, match="STUDIO_RESEND__WEBHOOK_SECRET"):
        await mailer_at().parse_webhook(call_of(b"{}", signer(b"{}")))
