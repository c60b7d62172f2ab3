"""The console in a real Chromium, from the sign-in to the changed film, and the page of webhooks that it leads to."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from studio.testing.client import serving

pytestmark = pytest.mark.peer
LIMIT_S, WEBHOOKS_LIMIT_S = 480, 180
ROOT = "root@example.org"
HOSTILE = "</pre><script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>"


@pytest.fixture(scope="session")
def chromium(program):
    return program("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def journey(node_script):
    return node_script("console_journey.mjs", "playwright-core@1.65")


@pytest.fixture(scope="session")
def webhooks_journey(node_script):
    return node_script("webhooks_journey.mjs", "playwright-core@1.65")


async def travelled(script, base, chromium, email, limit_s):
    """Return what a script has seen; it fails with the reason when a step did not happen."""
    child = await asyncio.create_subprocess_exec(
        "node", script, base, chromium, email, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, error = await asyncio.wait_for(child.communicate(), limit_s)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, error.decode()
    return json.loads(out)


async def test_console_goes_from_script_to_changed_film(journey, chromium, tmp_path):
    pytest.importorskip("studio_local")
    async with serving(tmp_path, STUDIO_ENV="development") as client:
        seen = await travelled(journey, str(client._base), chromium, "ann@example.org", LIMIT_S)
    assert seen["complaints"] == []
    assert seen["scenes"] == 3
    assert seen["shots"] >= 3
    assert seen["price"].endswith("$0.00 (local)")
    assert {"mp4", "srt", "otio", "edl"} <= set(seen["files"])
    assert min(seen["files"].values()) > 0
    assert (seen["staleVoices"], seen["stalePanels"]) == (1, 0)
    assert seen["again"].startswith("1 job,")
    assert len(seen["feed"]) > 5
    assert seen["cookies"] == 0


class Receiver:
    """An endpoint of a customer that is broken until it is mended."""

    def __init__(self):
        self.status = 503

    async def take(self, request):
        return web.Response(status=self.status, text="what an endpoint says is shown nowhere")


async def test_webhook_that_came_to_nothing_is_seen_and_replayed(
    webhooks_journey, chromium, load_fake, tmp_path
):
    from studio_webhooks.api import Webhooks

    vendor, receiver = load_fake("elevenlabs"), Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    more = {
        "STUDIO_ENV": "development",
        "STUDIO_AUTH__ADMINS": ROOT,
        "ELEVENLABS_API_KEY": vendor.KEY,
        "ELEVENLABS_WEBHOOK_SECRET": vendor.WEBHOOK_SECRET,
        "STUDIO_WEBHOOKS__WAIT_H": "0.000001",
        "STUDIO_WEBHOOKS__RESEND_S": "[]",
        "STUDIO_WEBHOOKS__PRIVATE_HOSTS": "127.0.0.1",
    }
    async with TestServer(app, host="127.0.0.1") as there, serving(tmp_path, **more) as client:
        root = await client.sign_in(ROOT)
        broken = await listen(client.studio.loader.records["webhooks"].ctx.service(Webhooks))
        await call(client, vendor, HOSTILE)
        await root.wait_for("/api/webhooks/inbox?state=dead", lambda page: len(page["items"]) == 1)
        broken.clear()
        for number in range(52):
            await call(client, vendor, f"voice {number}")
        await root.wait_for("/api/webhooks/inbox?state=received", lambda page: not page["items"])
        await told(root, str(there.make_url("/hook")))
        receiver.status = 200
        script, base = webhooks_journey, str(client._base)
        seen = await travelled(script, base, chromium, ROOT, WEBHOOKS_LIMIT_S)
    assert (seen["complaints"], seen["dialogs"], seen["outside"]) == ([], 0, [])
    assert (seen["all"], seen["older"]) == (50, 3)
    assert "elevenlabs" in seen["vendors"]
    assert seen["row"][1:4] == ["dead", "elevenlabs", "voice_removed"]
    assert (seen["before"], seen["after"]) == ("dead", "processed")
    assert seen["error"] == "A listener failed with RuntimeError. (listener_failed)"
    assert "[redacted]" in seen["headers"]
    assert HOSTILE in seen["body"]
    assert (seen["inBody"], seen["indented"] > 5) == (0, True)
    assert (seen["focus"], seen["said"]) == ("call-replay", "It was dead and is now processed.")
    assert seen["endpoint"][1:] == ["To us", "everything", seen["endpoint"][3]]
    assert seen["sentError"] == "It answered 503."
    assert seen["states"][-2:] == ["delivered", "delivered"]
    assert (seen["wide"], seen["stranger"]) == (False, 0)


async def listen(webhooks):
    """Let a listener fail for as long as the set that is returned has something in it."""
    broken = {"it is"}

    async def hear(heard):
        if broken:
            raise RuntimeError("not today")

    webhooks.join("elevenlabs", hear)
    return broken


async def call(client, vendor, name):
    body = json.dumps({"type": "voice_removed", "event_timestamp": 1763900000, "data": {"name": name}})
    headers = {"ElevenLabs-Signature": vendor.sign(body.encode()), "Content-Type": "application/json"}
    answer = await client.call("POST", "/api/webhooks/elevenlabs", data=body.encode(), headers=headers)
    assert answer.status == 202, answer


async def told(root, url):
    """Have an endpoint that is told of two things and takes neither."""
    project = (await root.post("/api/workbench/projects", {"name": "Night shift"})).json["id"]
    body = {"projectId": project, "url": url, "eventTypes": ["*"], "description": "To us"}
    endpoint = (await root.post("/api/webhooks/endpoints", body)).json["id"]
    await root.post(f"/api/webhooks/endpoints/{endpoint}/test")
    path = f"/api/webhooks/deliveries?projectId={project}&state=dead"
    await root.wait_for(path, lambda page: len(page["items"]) == 2)  # its own creation is an event
