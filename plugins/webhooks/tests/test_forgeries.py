"""No forged call comes through, neither the parser of the kernel nor the whole way over HTTP."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from studio import UnauthenticatedError, WebhookCall, verify_standard_webhook
from studio_webhooks.service import INBOX

BODY = json.dumps({"id": "pred_1", "job": "v-1", "state": "succeeded", "logs": "1\n2 über"}).encode()


@pytest.fixture(scope="session")
def forged():
    path = Path(__file__).parents[3] / "tests" / "peers" / "fakes" / "forgeries.py"
    spec = importlib.util.spec_from_file_location("studio_fakes_forgeries", path)
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module.forgeries


def verified(headers, body, secret):
    call = WebhookCall(path="/", headers=headers, body=body, received_at=1)
    return verify_standard_webhook(call, secret)


@pytest.mark.pure
def test_there_are_many_kinds_of_forgeries_each_with_its_name(forged, sign):
    cases = forged(sign(BODY), BODY, sign)
    names = [name for name, _, _ in cases]
    assert len(names) == len(set(names)) >= 80
    assert len(forged(sign(BODY), BODY, sign, body_signed=False)) >= 30
    one_header = [c for c in forged(sign(BODY), BODY, sign, signed=["webhook-signature"]) if c]
    assert len(one_header) >= 30


@pytest.mark.pure
def test_the_kernels_check_takes_the_good_call_and_no_other(forged, sign, secret):
    good = sign(BODY)
    assert verified(good, BODY, secret) == good["webhook-id"]
    taken = []
    for name, headers, body in forged(good, BODY, sign):
        try:
            verified(headers, body, secret)
        except UnauthenticatedError:
            continue
        taken.append(name)
    assert not taken


@pytest.mark.http
async def test_every_forgery_is_a_401_and_leaves_nothing(studio, forged, sign):
    inbox = studio.studio.services.database[INBOX]
    before = await inbox.count({})
    cases = forged({"user-agent": "vendor", **sign(BODY)}, BODY, sign)
    for name, headers, body in cases:
        answer = await studio.call("POST", "/api/webhooks/vendor", data=body, headers=headers)
        assert (answer.status, answer.json["code"]) == (401, "webhook_signature"), (name, answer)
    assert await inbox.count({}) == before
    good = await studio.call("POST", "/api/webhooks/vendor", data=BODY, headers=sign(BODY))
    assert good.status == 202
    assert await inbox.count({}) == before + 1


@pytest.mark.http
async def test_a_replayed_call_is_acknowledged_and_does_nothing(studio, sign):
    inbox, headers = studio.studio.services.database[INBOX], sign(BODY)
    receipts = [
        await studio.call("POST", "/api/webhooks/vendor", data=BODY, headers=headers) for _ in range(3)
    ]
    assert [(r.status, r.json["duplicate"]) for r in receipts] == [(202, False), (202, True), (202, True)]
    assert await inbox.count({"delivery_id": headers["webhook-id"]}) == 1
