"""Signed calls of the vendor, through the receiver of the whole house."""

from __future__ import annotations

import pytest

from studio.testing.client import serving

pytestmark = pytest.mark.http
BODY = b'{"type": "voice_removed", "event_timestamp": 1763900000, "data": {"voice_id": "v"}}'


async def test_call_is_taken_once_and_a_forged_one_not_at_all(load_fake, tmp_path):
    fakes = load_fake("elevenlabs")
    named = {"ELEVENLABS_API_KEY": fakes.KEY, "ELEVENLABS_WEBHOOK_SECRET": fakes.WEBHOOK_SECRET}

    async def sent(client, header):
        headers = {"ElevenLabs-Signature": header, "Content-Type": "application/json"}
        return await client.call("POST", "/api/webhooks/elevenlabs", data=BODY, headers=headers)

    async with serving(tmp_path, **named) as client:
        assert (await sent(client, fakes.sign(BODY, secret="wsec_other"))).status == 401
        first, second = await sent(client, fakes.sign(BODY)), await sent(client, fakes.sign(BODY))
        assert (first.status, first.json["duplicate"]) == (202, False)
        assert (second.status, second.json["duplicate"]) == (202, True)
    async with serving(tmp_path / "off", ELEVENLABS_API_KEY=fakes.KEY) as client:
        assert (await sent(client, fakes.sign(BODY))).status == 404
