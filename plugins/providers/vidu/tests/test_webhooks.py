"""Callbacks of Vidu: signed over everything but the body, and therefore a hint only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import time

import pytest

from studio import BadRequestError, UnauthenticatedError
from studio_vidu import webhooks
from studio_vidu.webhooks import signing_string

PATH, QUERY = "/api/webhooks/vidu", "job=j-1&attempt=1&token=t%2Bx"
BODY = {"id": "834645448353398784", "state": "success", "err_code": "", "credits": 40, "creations": []}


@pytest.mark.pure
def test_signing_string_is_that_of_the_vendors_page(call):
    date = "Tue, 06 May 2025 12:09:42 GMT"
    headers = {"Date": date, "x-request-nonce": "123e4567-e89b-12d3-a456-426614174000"}
    asked = call(headers, b"", "/vidu/callback", "name=james&age=36")
    assert signing_string(asked, ["Date", "x-request-nonce"]).decode() == (
        f"POST\n/vidu/callback\nname=james&age=36\nvidu\n{date}\nDate:{date}\n"
        "x-request-nonce:123e4567-e89b-12d3-a456-426614174000\n"
    )
    empty = signing_string(call(headers, b"", ""), ["Date"])
    assert empty.decode() == f"POST\n/\n\nvidu\n{date}\nDate:{date}\n"


@pytest.mark.http
@pytest.mark.parametrize(
    "names", [("Date", "x-request-nonce"), ("x-request-nonce", "date"), ("Date", "X-Request-Nonce")]
)
async def test_signed_callback_is_a_hint_and_never_a_result(make, fake, call, names):
    video = make()
    headers, body = fake.webhook(BODY, PATH, QUERY, "nonce-1")
    headers = {name.lower(): value for name, value in headers.items()}
    if names != ("Date", "x-request-nonce"):
        headers |= _signed_again(fake, headers, names)
    news = await video.parse_webhook(call(headers, body, PATH, QUERY))
    assert (news.delivery_id, news.kind, news.provider_job_id) == ("nonce-1", "success", BODY["id"])
    assert news.generation is None


def _signed_again(fake, headers, names):
    """Sign with the names in other letters and another order."""
    lines = "".join(f"{name}:{headers[name.lower()]}\n" for name in names)
    text = f"POST\n{PATH}\n{QUERY}\nvidu\n{headers['date']}\n{lines}"
    mac = hmac.new(fake.key.encode(), text.encode(), hashlib.sha256).digest()
    return {"x-hmac-signed-headers": ";".join(names), "x-hmac-signature": base64.b64encode(mac).decode()}


@pytest.mark.http
@pytest.mark.parametrize("names", [("Date",), ("x-request-nonce",)])
async def test_signature_that_leaves_out_the_date_or_the_nonce_is_refused(make, fake, call, names):
    with pytest.raises(UnauthenticatedError):
        await make().parse_webhook(call(*fake.webhook(BODY, PATH, QUERY, names=names), PATH, QUERY))


@pytest.mark.http
async def test_no_key_accepts_nothing(fake, call):
    fake.key = ""
    with pytest.raises(UnauthenticatedError):
        webhooks.Signatures("").verify(call(*fake.webhook(BODY, PATH, QUERY), PATH, QUERY))


@pytest.mark.http
async def test_repetition_is_the_same_delivery_and_another_body_with_its_nonce_is_a_forgery(make, fake, call):
    video = make()
    headers, body = fake.webhook(BODY, PATH, QUERY, "nonce-1")
    first, again = [await video.parse_webhook(call(headers, body, PATH, QUERY)) for _ in range(2)]
    assert first.delivery_id == again.delivery_id
    for other in (body.replace(b"success", b"failed"), body.replace(b"834", b"999"), body + b" ", b"{}"):
        with pytest.raises(UnauthenticatedError):
            await video.parse_webhook(call(headers, other, PATH, QUERY))


@pytest.mark.http
async def test_memory_of_nonces_is_bounded(make, fake, call, monkeypatch):
    monkeypatch.setattr(webhooks, "REMEMBERED", 3)
    video = make()
    for number in range(10):
        await video.parse_webhook(call(*fake.webhook(BODY, PATH, QUERY, f"nonce-{number}"), PATH, QUERY))
    assert list(video._signatures._seen) == ["nonce-7", "nonce-8", "nonce-9"]


@pytest.mark.http
@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"null", b"{}", b'{"id": "../x"}', b"[" * 100_000])
async def test_signed_body_that_names_no_task_is_refused(make, fake, call, body):
    with pytest.raises(BadRequestError):
        await make().parse_webhook(call(*fake.webhook(body, PATH, QUERY), PATH, QUERY))


@pytest.mark.http
@pytest.mark.parametrize(
    ("word", "kind"), [({"state": None, "status": "processing"}, "processing"), ({"state": 7}, "")]
)
async def test_word_of_the_state_is_passed_on(make, fake, call, word, kind):
    assert (await make().parse_webhook(call(*fake.webhook(BODY | word, PATH), PATH))).kind == kind


@pytest.mark.http
async def test_forged_calls_are_refused(make, fake, call, load_fake):
    ages = itertools.count(1)

    def sign(body, *, at_s=None, forged=False):
        at = time.time() - next(ages) if at_s is None else at_s  # no two calls have the same Date
        headers, _ = fake.webhook(body, PATH, QUERY, at=at, key="another key" if forged else fake.key)
        return {name.lower(): value for name, value in headers.items() if name != "Content-Type"}

    headers, body = fake.webhook(BODY, PATH, QUERY)
    headers = {name.lower(): value for name, value in headers.items()}
    video, signed = make(), ("date", "x-request-nonce", "x-hmac-signature")
    cases = load_fake("forgeries").forgeries(headers, body, sign, signed=signed, body_signed=False)
    for name, changed, raw in cases:
        with pytest.raises(UnauthenticatedError):
            pytest.fail(f"accepted: {name}: {await video.parse_webhook(call(changed, raw, PATH, QUERY))}")
    assert len(cases) >= 30


@pytest.mark.http
@pytest.mark.parametrize(
    ("path", "query", "method"),
    [
        ("/api/webhooks/fal", QUERY, "POST"), (f"{PATH}/", QUERY, "POST"), ("/api/webhooks/%76idu", QUERY, "POST"),
        (PATH, "", "POST"), (PATH, f"{QUERY}&x=1", "POST"), (PATH, QUERY.replace("j-1", "j-2"), "POST"),
        (PATH, QUERY.replace("%2B", "+"), "POST"), (PATH, QUERY, "GET"),
    ],
)  # fmt: skip
async def test_callback_to_another_address_is_refused(make, fake, call, path, query, method):
    headers, body = fake.webhook(BODY, PATH, QUERY)
    with pytest.raises(UnauthenticatedError):
        await make().parse_webhook(call(headers, body, path, query, method))


@pytest.mark.http
@pytest.mark.parametrize(
    "changed",
    [
        {"x-hmac-signed-headers": "Date"}, {"x-hmac-signed-headers": "x-request-nonce"}, {"x-hmac-signed-headers": ""},
        {"x-hmac-signed-headers": "Date;x-request-nonce;Date"}, {"x-hmac-signed-headers": "Date;x-request-nonce;gone"},
        {"x-hmac-signed-headers": ";".join(["Date", "x-request-nonce", *"abcdefghij"])},
        {"x-hmac-algorithm": "hmac-md5"}, {"x-hmac-algorithm": "none"}, {"x-hmac-access-key": "other"},
        {"x-hmac-signature": "é"}, {"x-request-nonce": ""}, {"x-request-nonce": "a b"}, {"x-request-nonce": "a" * 201},
        {"date": "2026-01-15T09:54:55Z"},
        {"date": "Thu, 99 Jan 2026 09:54:55 GMT"}, {"date": str(int(time.time()))}, {"date": ""},
    ],
)  # fmt: skip
async def test_head_that_cannot_be_right_is_refused(make, fake, call, changed):
    headers, body = fake.webhook(BODY, PATH, QUERY)
    headers = {name.lower(): value for name, value in headers.items()}
    with pytest.raises(UnauthenticatedError):
        await make().parse_webhook(call(headers | changed, body, PATH, QUERY))


@pytest.mark.http
@pytest.mark.parametrize(("age_s", "good"), [(290, True), (-290, True), (310, False), (-310, False)])
async def test_date_may_be_five_minutes_off(make, fake, call, age_s, good):
    asked = call(*fake.webhook(BODY, PATH, QUERY, at=time.time() - age_s), PATH, QUERY)
    if good:
        assert (await make().parse_webhook(asked)).provider_job_id == BODY["id"]
    else:
        with pytest.raises(UnauthenticatedError):
            await make().parse_webhook(asked)
