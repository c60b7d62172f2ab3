"""Signed calls of the vendor, and forged ones."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from studio import BadRequestError, UnauthenticatedError, UnavailableError, WebhookCall, now_ms
from studio_elevenlabs.webhooks import parse, verify

pytestmark = pytest.mark.pure
CASES = json.loads((Path(__file__).parent / "payloads" / "webhooks.json").read_text())
SECRET = "wsec_fake_0123456789abcdef"
NOW = 1_763_900_100
BODY = b'{"type": "voice_removed", "event_timestamp": 1763900000, "data": {"voice_id": "v"}}'
MAC = hmac.new(SECRET.encode(), f"{NOW}.".encode() + BODY, hashlib.sha256).hexdigest()


def call(header, body=BODY, name="elevenlabs-signature", at_s=NOW):
    return WebhookCall(
        path="/api/webhooks/elevenlabs", headers={name: header}, body=body, received_at=at_s * 1000
    )


def signed(body, at=NOW, secret=SECRET, sign_as=None):
    sign_as = f"{at}.".encode() if sign_as is None else sign_as
    return f"t={at},v0={hmac.new(secret.encode(), sign_as + body, hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_signed_call_is_read(load_fake, case):
    body = json.dumps(case["body"]).encode()
    news = parse(call(load_fake("elevenlabs").sign(body, NOW), body), SecretStr(SECRET))
    assert (news.kind, news.at_ms) == (case["kind"], case["at_ms"])
    assert (news.provider_job_id, news.generation) == (None, None)
    assert news.delivery_id == parse(call(signed(body, NOW + 9), body), SecretStr(SECRET)).delivery_id


GOOD = {
    "as signed": call(f"t={NOW},v0={MAC}"),
    "blanks between": call(f"t={NOW}, v0={MAC}"),
    "an old key beside": call(f"t={NOW},v0={'0' * 64},v0={MAC}"),
    "another scheme beside": call(f"t={NOW},v1=abc,v0={MAC}"),
    "half an hour old": call(f"t={NOW},v0={MAC}", at_s=NOW + 1800),
    "half an hour ahead": call(f"t={NOW},v0={MAC}", at_s=NOW - 1800),
}


@pytest.mark.parametrize("given", GOOD.values(), ids=GOOD.keys())
def test_good_signature_is_taken(given):
    assert parse(given, SecretStr(SECRET)).kind == "voice_removed"


FORGED = {
    "no header": call("x", name="x-other"),
    "empty": call(""),
    "no time": call(f"v0={MAC}"),
    "no signature": call(f"t={NOW}"),
    "empty signature": call(f"t={NOW},v0="),
    "empty time": call(f"t=,v0={MAC}"),
    "two times": call(f"t={NOW},t={NOW},v0={MAC}"),
    "another time": call(f"t={NOW + 1},v0={MAC}"),
    "time with a sign": call(f"t=+{NOW},v0={MAC}"),
    "negative time": call(f"t=-{NOW},v0={MAC}"),
    "time with a point": call(f"t={NOW}.0,v0={MAC}"),
    "time with a blank": call(f"t= {NOW},v0={MAC}"),
    "time in other digits": call(f"t={''.join(chr(0x660 + int(d)) for d in str(NOW))},v0={MAC}"),
    "time in ms": call(signed(BODY, NOW * 1000)),
    "time without end": call(f"t={'9' * 5000},v0={MAC}"),
    "one second too old": call(f"t={NOW},v0={MAC}", at_s=NOW + 1801),
    "one second too far ahead": call(f"t={NOW},v0={MAC}", at_s=NOW - 1801),
    "a year old": call(signed(BODY, NOW - 31_536_000)),
    "body changed": call(f"t={NOW},v0={MAC}", BODY + b" "),
    "body cut": call(f"t={NOW},v0={MAC}", BODY[:-1]),
    "body empty": call(f"t={NOW},v0={MAC}", b""),
    "body written anew": call(
        f"t={NOW},v0={MAC}", json.dumps(json.loads(BODY), separators=(",", ":")).encode()
    ),
    "another secret": call(signed(BODY, secret="wsec_other")),
    "empty secret": call(signed(BODY, secret="")),
    "body alone signed": call(signed(BODY, sign_as=b"")),
    "time and body without a point": call(signed(BODY, sign_as=str(NOW).encode())),
    "id in front": call(signed(BODY, sign_as=f"msg.{NOW}.".encode())),
    "upper case": call(f"t={NOW},v0={MAC.upper()}"),
    "upper case scheme": call(f"t={NOW},V0={MAC}"),
    "first half": call(f"t={NOW},v0={MAC[:32]}"),
    "one more digit": call(f"t={NOW},v0={MAC}0"),
    "one bit": call(f"t={NOW},v0={MAC[:-1]}{'0' if MAC[-1] != '0' else '1'}"),
    "base64": call(f"t={NOW},v0={__import__('base64').b64encode(bytes.fromhex(MAC)).decode()}"),
    "sha1": call(f"t={NOW},v0={hmac.new(SECRET.encode(), f'{NOW}.'.encode() + BODY, 'sha1').hexdigest()}"),
    "another scheme": call(f"t={NOW},v1={MAC}"),
    "no letters": call(f"t={NOW},v0=\u00e9\ud83d"),
    "semicolons": call(f"t={NOW};v0={MAC}"),
    "a list": call(f"t={NOW},v0=[{MAC}]"),
}


@pytest.mark.parametrize("given", FORGED.values(), ids=FORGED.keys())
def test_forged_call_is_refused(given):
    with pytest.raises(UnauthenticatedError) as raised:
        parse(given, SecretStr(SECRET))
    assert raised.value.code == "webhook_signature"


def test_no_forgery_of_the_common_kit_is_taken(load_fake):
    fakes, now = load_fake("elevenlabs"), now_ms()

    def sign(body, *, at_s=None, forged=False):
        return {"elevenlabs-signature": fakes.sign(body, at_s, "wsec_other" if forged else SECRET)}

    def refused(headers, body):
        try:
            verify(WebhookCall(path="/", headers=headers, body=body, received_at=now), SECRET)
        except UnauthenticatedError:
            return True
        return False

    cases = load_fake("forgeries").forgeries(sign(BODY), BODY, sign, tolerance_s=1800)
    assert [what for what, headers, body in cases if not refused(headers, body)] == []
    assert not refused(sign(BODY), BODY)
    assert len(cases) + len(FORGED) >= 80


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"data": {}}', b'{"type": 5}', b"\xff"])
def test_signed_body_that_is_no_event_is_a_bad_request(body):
    with pytest.raises(BadRequestError):
        parse(call(signed(body), body), SecretStr(SECRET))


def test_without_a_secret_the_vendor_is_asked_to_come_again():
    with pytest.raises(UnavailableError, match="STUDIO_ELEVENLABS__WEBHOOK_SECRET"):
        parse(call(f"t={NOW},v0={MAC}"), None)
