"""Vidu's fake, and a generator that talks to it."""

from __future__ import annotations

import pytest

from studio import PluginContext, VideoRequest, WebhookCall, now_ms
from studio.testing.kit import HttpClients, Metrics, Services, Settings, get_logger
from studio_vidu.settings import ViduSettings
from studio_vidu.video import ViduVideoGenerator


@pytest.fixture
def module(load_fake):
    return load_fake("vidu")


@pytest.fixture
async def fake(module):
    vendor = module.Fake()
    async with vendor.serving():
        yield vendor


@pytest.fixture
async def make(fake, module):
    """Return a maker of generators; `settings` go over those of the fake."""
    made = []

    def build(**settings):
        given = {"api_key": module.KEY, "base_url": fake.url, "deadline_s": 3} | settings
        services = Services()
        services.http = HttpClients(Settings(), Metrics())
        made.append(services.http)
        return ViduVideoGenerator(PluginContext("vidu", services, ViduSettings(**given), get_logger("vidu")))

    yield build
    for clients in made:
        await clients.close()


@pytest.fixture
def still(tmp_path):
    path = tmp_path / "panel.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 1000)
    return path


@pytest.fixture
def animate(still):
    """Return a maker of requests."""

    def build(**fields):
        given = {"job_id": "j-1", "prompt": "The lamp turns", "image": still, "duration_ms": 4200}
        return VideoRequest(**given | fields)

    return build


@pytest.fixture
def call():
    """Return a maker of calls as the receiver hands them over."""

    def build(headers, body, path="/api/webhooks/vidu", query="", method="POST"):
        headers = {name.lower(): value for name, value in headers.items()}
        return WebhookCall(
            method=method, path=path, query=query, headers=headers, body=body, received_at=now_ms()
        )

    return build
