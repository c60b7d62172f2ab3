"""News of mails through the receiver of webhooks: taken once, a repetition changes nothing, a forged one is refused."""

from __future__ import annotations

import pytest

from studio.testing.client import serving

pytestmark = pytest.mark.http


async def test_a_delivery_is_taken_once_and_a_forged_one_never(tmp_path, vendor, resend_fakes, payload):
    named = {
        "RESEND_API_KEY": resend_fakes.KEY,
        "RESEND_FROM": "Studio <mail@example.com>",
        "RESEND_API_URL": vendor.url,
        "RESEND_WEBHOOK_SECRET": resend_fakes.SECRET,
    }
    body = payload("webhook_bounced.json")
    async with serving(tmp_path, **named) as anonymous:

        async def deliver(headers):
            return await anonymous.call("POST", "/api/webhooks/resend", data=body, headers=headers)

        first = await deliver(vendor.signed(body, "msg_1"))
        again = await deliver(vendor.signed(body, "msg_1"))
        forged = await deliver(vendor.signed(body, "msg_2") | {"svix-id": "msg_3"})
        assert (first.status, again.status, forged.status) == (202, 202, 401)
        assert (first.json["duplicate"], again.json["duplicate"]) == (False, True)
        inbox = anonymous.studio.services.database["webhook_inbox"]
        [kept] = await inbox.find({"provider": "resend"})
        assert kept["delivery_id"] == "msg_1"


async def test_without_a_secret_nobody_can_call(tmp_path, vendor, resend_fakes, payload):
    named = {"RESEND_API_KEY": resend_fakes.KEY, "RESEND_FROM": "a@example.com", "RESEND_API_URL": vendor.url}
    body = payload("webhook_bounced.json")
    async with serving(tmp_path, **named) as anonymous:
        answer = await anonymous.call("POST", "/api/webhooks/resend", data=body, headers=vendor.signed(body))
    assert answer.status in (404, 503)
