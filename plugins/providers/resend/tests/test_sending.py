"""Mails to Resend: once per key, repeated only where it helps, and every answer has one meaning."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

import studio
from studio import Mail, ProviderError, ProviderRejectedError, ProviderUnavailableError, StudioError
from studio.testing.client import serving
from studio_resend.plugin import Plugin
from studio_resend.settings import ResendSettings

pytestmark = pytest.mark.http
MAIL = Mail(to="ann@example.org", subject="Hello", text="Words", html="<p>Words</p>", tags=("otp", "Größe 1"))
ANSWERS = json.loads((Path(__file__).parent / "payloads" / "answers.json").read_text())


async def test_a_mail_goes_out_as_resend_wants_it(mailer_at, vendor):
    mail_id = await mailer_at(vendor.url, reply_to="help@example.com").send(MAIL, idempotency_key="otp:1")
    call = vendor.calls[0]
    assert (call.method, call.path) == ("POST", "/emails")
    assert call.headers["authorization"] == "Bearer re_fake_0123456789abcdef"
    assert call.headers["idempotency-key"] == "otp:1"
    assert call.json == {
        "from": "Studio <mail@example.com>",
        "to": ["ann@example.org"],
        "subject": "Hello",
        "text": "Words",
        "html": "<p>Words</p>",
        "reply_to": "help@example.com",
        "tags": [{"name": "otp", "value": "1"}, {"name": "Gr__e_1", "value": "1"}],
    }
    assert list(vendor.sent) == [mail_id]


@pytest.mark.parametrize("mode", ["lost", "cut", "500", "429"])
async def test_a_lost_answer_is_asked_for_again_and_the_mail_goes_once(mailer_at, vendor, mode):
    vendor.retry_after_s = 0
    vendor.fail(mode)
    mail_id = await mailer_at(vendor.url).send(MAIL, idempotency_key="k")
    assert list(vendor.sent) == [mail_id]
    assert [call.headers["idempotency-key"] for call in vendor.calls] == ["k", "k"]


@pytest.mark.parametrize("key", ["k" * 257, "schlüssel", "two words", ""])
async def test_a_key_that_no_header_carries_is_hashed_and_stays_one_key(mailer_at, vendor, key):
    mailer = mailer_at(vendor.url)
    first = await mailer.send(MAIL, idempotency_key=key)
    assert await mailer.send(MAIL, idempotency_key=key) == first
    assert len(vendor.calls[0].headers["idempotency-key"]) == 64


@pytest.mark.parametrize("case", ANSWERS, ids=lambda c: f"{c['status']}-{c['expect'][-1]}")
async def test_every_answer_has_one_meaning(mailer_at, canned, case):
    answer = {name: case.get(name) for name in ("status", "body", "headers", "text")}
    async with canned(**answer).serving() as vendor:
        sending = mailer_at(vendor.url).send(MAIL, idempotency_key="k")
        if isinstance(case["expect"], str):
            assert await sending == case["expect"]
        else:
            kind, code, *after = case["expect"]
            with pytest.raises(StudioError) as caught:
                await sending
            assert (type(caught.value), caught.value.code) == (getattr(studio, kind), code)
            assert [caught.value.retry_after] == after or not after
        assert len(vendor.calls) == case["tries"]


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "huge", "redirect"])
async def test_an_answer_of_another_kind_is_an_error_and_never_a_sent_mail(mailer_at, vendor, mode):
    vendor.fail(mode, times=9)
    with pytest.raises(ProviderError):
        await mailer_at(vendor.url).send(MAIL, idempotency_key="k")


async def test_a_refused_mail_says_why_and_a_new_key_works_again(mailer_at, vendor):
    with pytest.raises(ProviderUnavailableError, match="not verified"):
        await mailer_at(vendor.url, sender="a@elsewhere.example").send(MAIL, idempotency_key="k")
    with pytest.raises(ProviderUnavailableError, match="API key is invalid"):
        await mailer_at(vendor.url, api_key="re_other").send(MAIL, idempotency_key="k")
    assert await mailer_at(vendor.url).send(MAIL, idempotency_key="k") in vendor.sent


async def test_the_same_key_for_another_mail_is_refused_for_good(mailer_at, vendor):
    mailer = mailer_at(vendor.url)
    await mailer.send(MAIL, idempotency_key="k")
    with pytest.raises(ProviderRejectedError):
        await mailer.send(MAIL.model_copy(update={"text": "Other words"}), idempotency_key="k")
    assert len(vendor.sent) == 1


def test_without_a_key_it_says_what_to_set_and_what_is_half_set():
    class Context:
        def __init__(self, **values):
            self.values = ResendSettings(**values)

        def settings(self, model):
            return self.values

    [spec] = Plugin().register_providers(Context())
    assert (spec.missing, spec.webhooks) == ("set STUDIO_RESEND__API_KEY and STUDIO_RESEND__SENDER", False)
    [spec] = Plugin().register_providers(Context(api_key="re_1"))
    assert spec.missing == "set STUDIO_RESEND__SENDER"
    [spec] = Plugin().register_providers(Context(api_key="re_1", sender="a@b.c", webhook_secret="whsec_YQ=="))
    assert (spec.missing, spec.webhooks) == (None, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook_secret", "whsec_ä"),
        ("webhook_secret", "whsec_"),
        ("api_url", "http://api.resend.com"),
        ("api_url", "https://u:p@x.org"),
        ("sender", "a@b.c\r\nBcc: x@y.z"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_at_the_start(name, value):
    with pytest.raises(ValidationError):
        ResendSettings(**{name: value})


async def test_the_outbox_sends_through_resend_before_local_once_it_is_set(tmp_path, vendor):
    named = {
        "RESEND_API_KEY": "re_fake_0123456789abcdef",
        "RESEND_FROM": "Studio <mail@example.com>",
        "RESEND_API_URL": vendor.url,
        "STUDIO_MAILER__SCAN_S": "0.05",
        "STUDIO_MAILER__RETRY_S": "0.05",
    }
    vendor.refusals.append("concurrent_idempotent_requests")
    async with serving(tmp_path, **named) as anonymous:
        assert (await anonymous.post("/api/auth/otp/request", {"email": "ann@example.org"})).status < 300
        code = next(iter(vendor.sent.values()))
        assert code["to"] == ["ann@example.org"]
        ann = await sign_in(anonymous, code["text"])
        vendor.fail("500", times=8)
        project = (await ann.post("/api/workbench/projects", {"name": "Film"})).json
        path = f"/api/rbac/projects/{project['id']}/collaborators"
        assert (await ann.post(path, {"email": "bob@example.org", "roleKey": "viewer"})).status == 201
        async with asyncio.timeout(60):
            while not [mail for mail in vendor.sent.values() if mail["to"] == ["bob@example.org"]]:
                await asyncio.sleep(0.02)
        sent = [mail for mail in vendor.sent.values() if mail["to"] == ["bob@example.org"]]
        assert len(sent) == 1
    assert not list((tmp_path / "outbox").glob("*.eml")), "local stays behind a vendor that is configured"


async def sign_in(anonymous, text):
    code = re.search(r"\b\d{6,10}\b", text)[0]
    answer = await anonymous.post("/api/auth/otp/verify", {"email": "ann@example.org", "code": code})
    anonymous.headers = {"Authorization": f"Bearer {answer.json['accessToken']}"}
    return anonymous


async def test_a_vendor_that_never_answers_costs_at_most_the_deadline(mailer_at, vendor, monkeypatch):
    monkeypatch.setattr("studio_resend.client.DEADLINE_S", 0.3)
    vendor.fail("late", times=9)
    start = time.monotonic()
    with pytest.raises(ProviderError) as caught:
        await mailer_at(vendor.url).send(MAIL, idempotency_key="k")
    assert caught.value.code == "provider_timeout"
    assert time.monotonic() - start < 2
