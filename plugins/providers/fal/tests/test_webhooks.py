"""Calls from fal: signed ones are believed, forged ones are refused, and nobody makes us hammer the vendor's keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio import BadRequestError, HttpAnswer, ImageRequest, UnauthenticatedError, UnavailableError
from studio_fal.settings import FalSettings
from studio_fal.webhooks import Signatures

pytestmark = pytest.mark.http
CASES = json.loads((Path(__file__).parent / "payloads" / "webhooks.json").read_text())
REQUEST = CASES[0]["body"]["request_id"]
JOB = f"flux-dev|fal-ai/flux|{REQUEST}"


async def test_signature_of_another_program_is_accepted(call):
    """Made with openssl 3.0 from the steps of the vendor's page: neither the fake nor the plugin had a hand in it."""
    key = {"kty": "OKP", "crv": "Ed25519", "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}
    body = (
        b'{"request_id":"123e4567-e89b-12d3-a456-426614174000",'
        b'"gateway_request_id":"123e4567-e89b-12d3-a456-426614174000","status":"OK","payload":{"images":[]}}'
    )
    headers = {
        "x-fal-webhook-request-id": REQUEST,
        "x-fal-webhook-user-id": "github|12345",
        "x-fal-webhook-timestamp": "1768470896",
        "x-fal-webhook-signature": (
            "6e940497a6831b7aa10f75542a284b7d4288108ecd630c6f21c31c15cfac964e"
            "fc2594a6d033beffb96be7039b489654802bfebe39274168498b5a3630c90f0d"
        ),
    }

    class Keys:
        async def request(self, method, url, **options):
            return HttpAnswer(200, {}, json.dumps({"keys": [key]}).encode())

    signatures = Signatures(Keys(), FalSettings(), clock=lambda: 1768470896)
    assert await signatures.verify(call(headers, body)) == REQUEST
    with pytest.raises(UnauthenticatedError):
        await signatures.verify(call(headers, body + b" "))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_signed_call_is_read_as_the_table_says(make, fake, call, case):
    news = await make().parse_webhook(call(*fake.webhook(case["body"])))
    assert (news.delivery_id, news.kind, news.provider_job_id) == (REQUEST, case["body"]["status"], JOB)
    expected, found = case["expect"], news.generation
    if expected is None:
        assert found is None
        return
    assert (found.state, found.provider_job_id) == (expected["state"], JOB)
    assert [[f.url, f.mime, f.width, f.height] for f in found.files] == expected.get("files", [])
    if found.error:
        error = found.error
        assert [error.code, error.retryable, error.input] == [
            expected[key] for key in ("code", "retryable", "input")
        ]


async def test_id_in_the_news_is_that_of_the_submit(make, fake, call):
    drawing = make()
    url = "https://studio.example/api/webhooks/fal?job=j-1"
    started = await drawing.submit(ImageRequest(job_id="j", prompt="x", model="flux-dev", callback_url=url))
    request_id = started.provider_job_id.rpartition("|")[2]
    (news,) = [await drawing.parse_webhook(call(*fake.webhook(fake.news(request_id))))]
    assert news.provider_job_id == started.provider_job_id


async def test_success_of_a_priced_model_is_asked_for_because_only_the_result_tells_the_units(
    make, fake, call
):
    drawing = make(models={"flux-dev": {"price_kind": "per_unit", "unit_price_uusd": 25_000}})
    news = await drawing.parse_webhook(call(*fake.webhook(CASES[0]["body"])))
    assert (news.provider_job_id, news.generation) == (JOB, None)


@pytest.mark.parametrize("query", ["", "fal_model=", "fal_model=gone", "fal_model=..%2Fx", "job=j"])
async def test_call_that_does_not_say_its_model_is_news_of_nobody(make, fake, call, query):
    headers, body = fake.webhook(CASES[0]["body"])
    assert (await make().parse_webhook(call(headers, body, query=query))).provider_job_id is None


async def test_signature_over_the_gateways_id_counts_too(make, fake, call):
    gateway = CASES[1]["body"]
    headers, body = fake.webhook(gateway, gateway["gateway_request_id"])
    assert (await make().parse_webhook(call(headers, body))).delivery_id == REQUEST


async def test_signature_for_another_request_is_refused(make, fake, call):
    with pytest.raises(UnauthenticatedError):
        await make().parse_webhook(call(*fake.webhook(CASES[0]["body"], "another-request")))


async def test_other_accounts_are_refused_once_the_own_one_is_known(make, fake, call, module):
    own = make(account=module.ACCOUNT)
    await own.parse_webhook(call(*fake.webhook(CASES[0]["body"])))
    with pytest.raises(UnauthenticatedError):
        await own.parse_webhook(call(*fake.webhook(CASES[0]["body"], user_id="github|stranger")))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"request_id": 7}',
        b'{"request_id": "none", "status": "DONE"}',
    ],
)
async def test_signed_body_that_is_no_news_is_refused(make, fake, call, body):
    with pytest.raises(BadRequestError):
        await make().parse_webhook(call(*fake.webhook(body)))


async def test_keys_are_fetched_once_and_again_when_they_have_changed(make, fake, call, module, monkeypatch):
    drawing = make()
    for _ in range(3):
        await drawing.parse_webhook(call(*fake.webhook(CASES[0]["body"])))
    assert len(fake.asked("GET", "jwks")) == 1
    fake.private = module.key_of("fal, after")
    fake.keys = [module.jwk(fake.private)]
    with pytest.raises(UnauthenticatedError):  # just fetched: not again within a minute
        await drawing.parse_webhook(call(*fake.webhook(CASES[0]["body"])))
    monkeypatch.setattr(drawing._client.signatures, "_ask_from", 0.0)
    await drawing.parse_webhook(call(*fake.webhook(CASES[0]["body"])))
    assert len(fake.asked("GET", "jwks")) == 2
    assert all("authorization" not in asked.headers for asked in fake.asked("GET", "jwks"))


@pytest.mark.parametrize("mode", ["500", "malformed", "wrong_type", "422"])
async def test_keys_that_cannot_be_had_make_the_vendor_come_again(make, fake, call, mode):
    fake.fail(mode, "jwks", times=9)
    drawing = make()
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await drawing.parse_webhook(call(*fake.webhook(CASES[0]["body"])))
    assert len(fake.asked("GET", "jwks")) <= 4


async def test_keys_of_other_kinds_are_passed_over(make, fake, call):
    good = fake.keys[1]
    fake.keys = [
        None,
        {},
        {"kty": "oct", "k": "AA"},
        fake.keys[1] | {"x": "AA"},
        fake.keys[1] | {"crv": "X25519"},
        fake.keys[1] | {"x": 7},
    ]
    drawing = make()
    with pytest.raises(UnavailableError):
        await drawing.parse_webhook(call(*fake.webhook(CASES[0]["body"])))
    fake.keys = [*fake.keys, good]
    await make().parse_webhook(call(*fake.webhook(CASES[0]["body"])))


async def test_forged_calls_are_refused_and_the_keys_are_asked_for_once(make, fake, call, module, load_fake):
    def sign(body, *, at_s=None, forged=False):
        private = module.key_of("a forger") if forged else None
        headers, _ = fake.webhook(body, REQUEST, at=at_s, private=private)
        return {name: value for name, value in headers.items() if name.startswith("x-fal-")}

    headers, body = fake.webhook(CASES[0]["body"])
    drawing = make()
    cases = load_fake("forgeries").forgeries(headers, body, sign)
    for name, changed, raw in cases:
        with pytest.raises(UnauthenticatedError):
            pytest.fail(f"accepted: {name}: {await drawing.parse_webhook(call(changed, raw))}")
    assert len(cases) >= 30
    assert len(fake.asked("GET", "jwks")) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("signature", "0" * 128), ("signature", "f" * 126), ("signature", "é" * 64), ("signature", "z" * 128),
        ("request-id", "a\nb"), ("request-id", "a" * 201), ("user-id", ""), ("user-id", "a b"), ("timestamp", "٣" * 10),
        ("timestamp", "9" * 13), ("timestamp", "-1"), ("timestamp", " 1"),
    ],
)  # fmt: skip
async def test_head_that_cannot_be_right_is_refused(make, fake, call, name, value):
    headers, body = fake.webhook(CASES[0]["body"])
    with pytest.raises(UnauthenticatedError):
        await make().parse_webhook(call(headers | {f"x-fal-webhook-{name}": value}, body))
