"""Calls from Replicate: signed ones are believed, forged ones are refused, whatever they look like."""

from __future__ import annotations

import base64
import json

import pytest

from studio import BadRequestError, UnauthenticatedError, UnavailableError

pytestmark = pytest.mark.http
MP4 = "https://replicate.delivery/xezq/fake/out.mp4"
OTHER = "whsec_" + base64.b64encode(b"somebody else's secret, 32 bytes").decode()


@pytest.fixture
def ended(fake):
    """The prediction of a call."""
    made = fake.start({"input": {"prompt": "x"}}, {"owner": "black-forest-labs", "name": "flux-schnell"})
    return fake.finish(made["id"])


async def test_signed_call_is_believed(make, fake, call, ended):
    headers, body = fake.webhook(ended, "msg_1")
    news = await make().parse_webhook(call(headers, body))
    assert (news.delivery_id, news.kind, news.provider_job_id) == ("msg_1", "succeeded", ended["id"])
    assert news.generation.state == "succeeded"
    assert [file.url for file in news.generation.files] == fake.output
    assert news.at_ms
    assert news.generation.provider_job_id == ended["id"]


async def test_failure_is_told_too(make, fake, call, ended):
    headers, body = fake.webhook(
        ended | {"status": "failed", "error": "NSFW content detected", "output": None}
    )
    news = await make().parse_webhook(call(headers, body))
    assert news.generation.error.code == "content_policy_violation"


@pytest.mark.parametrize(
    ("fields", "believed"),
    [
        ({"model": "our/clips", "deployment": "our/fast", "output": MP4}, True),
        ({"model": "bytedance/seedance-1-lite", "output": MP4}, True),
        ({"model": "our/clips", "output": MP4}, False),
        ({"model": "our/both", "output": MP4}, False),
    ],
)
async def test_video_that_the_picture_s_reader_hears_of_is_believed_where_its_kind_is_known(
    make, fake, call, ended, fields, believed
):
    """The receiver hands a call to the first capability of a vendor; what is not known there is asked for."""
    video = {"capability": "video", "fields": {}, "model": "deployments/our/fast"}
    both = {"fields": {}, "model": "our/both"}
    models = {"clips": video, "one": both | {"capability": "video"}, "other": both | {"capability": "image"}}
    news = await make("image", models=models).parse_webhook(call(*fake.webhook(ended | fields)))
    assert news.provider_job_id == ended["id"]
    assert (news.generation is not None) is believed
    if believed:
        assert [file.mime for file in news.generation.files] == ["video/mp4"]


async def test_secret_is_fetched_once_for_all_capabilities(make, fake, call, ended):
    drawing = make()
    for _ in range(3):
        await drawing.parse_webhook(call(*fake.webhook(ended)))
    assert len(fake.asked("GET", "secret$")) == 1


async def test_configured_secret_is_used_and_none_fetched(make, fake, call, ended, module):
    drawing = make(webhook_secret=module.SECRET)
    await drawing.parse_webhook(call(*fake.webhook(ended)))
    with pytest.raises(UnauthenticatedError):
        await drawing.parse_webhook(call(*fake.webhook(ended, secret=OTHER)))
    assert fake.asked("GET", "secret$") == []


async def test_changed_secret_is_fetched_again_and_forgers_cannot_make_us_ask(
    make, fake, call, ended, monkeypatch
):
    drawing = make()
    await drawing.parse_webhook(call(*fake.webhook(ended)))
    fake.secret = OTHER
    monkeypatch.setattr(drawing._client, "_ask_from", 0.0)
    await drawing.parse_webhook(call(*fake.webhook(ended)))
    assert len(fake.asked("GET", "secret$")) == 2
    for _ in range(20):
        with pytest.raises(UnauthenticatedError):
            await drawing.parse_webhook(call(*fake.webhook(ended, secret="whsec_" + "A" * 32)))
    assert len(fake.asked("GET", "secret$")) == 2


@pytest.mark.parametrize("broken", ["500", "malformed", "wrong_type"])
async def test_secret_that_cannot_be_had_makes_the_vendor_come_again(make, fake, call, ended, broken):
    fake.fail(broken, "secret$", times=9)
    with pytest.raises(UnavailableError):
        await make(deadline_s=5).parse_webhook(call(*fake.webhook(ended)))


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", 7])
async def test_secret_that_is_none_is_not_used(make, fake, call, ended, secret):
    headers, body = fake.webhook(ended)
    fake.secret = secret
    with pytest.raises(UnavailableError):
        await make().parse_webhook(call(headers, body))


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"id": 7}', b'{"id": "a", "status": "?"}', b"\xff", b"[" * 100_000]
)
async def test_signed_body_that_is_no_prediction_is_refused(make, fake, call, body):
    headers, raw = fake.webhook(body)
    with pytest.raises((BadRequestError, UnauthenticatedError)):
        await make().parse_webhook(call(headers, raw))


def forged(fake, ended):
    """Yield (name, headers, body) of calls that Replicate did not send."""
    good, body = fake.webhook(ended, "msg_1")
    signature, stamp = good["webhook-signature"], int(good["webhook-timestamp"])
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        yield f"no {name}", {k: v for k, v in good.items() if k != name}, body
        yield f"empty {name}", good | {name: ""}, body
    yield "no headers", {}, body
    for changed in ("msg_2", "msg_1 ", "MSG_1", "msg_1.0"):
        yield f"id {changed!r}", good | {"webhook-id": changed}, body
    for age in (-310, -3600, 310, 86_400):
        yield f"{age} s off", *fake.webhook(ended, "msg_1", at=stamp + age)
    for changed in (stamp + 1, stamp - 1, "now", "nan", "inf", "-1", "1e400", "0x10"):
        yield f"stamp {changed}", good | {"webhook-timestamp": str(changed)}, body
    yield "another secret", *fake.webhook(ended, "msg_1", secret=OTHER)
    for changed in (
        "v1,",
        "v1",
        "v2" + signature[2:],
        "v1a" + signature[2:],
        signature[3:],
        signature[:-8],
        "v1,AAAA",
        "v1,!",
        ",,,",
    ):
        yield f"signature {changed[:12]!r}", good | {"webhook-signature": changed}, body
    yield "several wrong ones", good | {"webhook-signature": " ".join(["v1,AAAA"] * 50)}, body
    for changed in (
        body + b" ",
        body[:-1],
        body.replace(b"succeeded", b"failed"),
        b"",
        b"{}",
        body.decode().encode("utf-16"),
    ):
        yield f"body {changed[:12]!r} {len(changed)}", good, changed
    svix = {f"svix-{k.removeprefix('webhook-')}": v for k, v in good.items() if k.startswith("webhook-")}
    yield "names of another vendor", svix, body
    other = json.dumps(ended | {"id": "a" * 26}).encode()
    yield "signature of another call", fake.webhook(ended, "msg_3")[0], other


async def test_forged_calls_are_refused(make, fake, call, ended, load_fake):
    def sign(body, *, at_s=None, forged=False):
        headers, _ = fake.webhook(body, at=at_s, secret=OTHER if forged else None)
        return {name: value for name, value in headers.items() if name.startswith("webhook-")}

    headers, body = fake.webhook(ended)
    drawing = make()
    cases = [*forged(fake, ended), *load_fake("forgeries").forgeries(headers, body, sign)]
    for name, changed, raw in cases:
        with pytest.raises(UnauthenticatedError):
            pytest.fail(f"accepted: {name}: {await drawing.parse_webhook(call(changed, raw))}")
    assert len(cases) >= 60
    assert len(fake.asked("GET", "secret$")) == 1
