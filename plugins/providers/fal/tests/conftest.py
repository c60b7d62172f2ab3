"""fal's fake, and generators that talk to it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from studio import PluginContext, WebhookCall, now_ms
from studio.testing.kit import HttpClients, Metrics, Services, Settings, get_logger
from studio_fal import generators
from studio_fal.settings import FalSettings

KINDS = {
    "image": generators.FalImageGenerator,
    "image_edit": generators.FalImageEditor,
    "video": generators.FalVideoGenerator,
    "music": generators.FalMusicGenerator,
}


@pytest.fixture
def module(load_fake):
    return load_fake("fal")


@pytest.fixture
async def fake(module):
    vendor = module.Fake()
    async with vendor.serving():
        yield vendor


@pytest.fixture
async def make(fake, module):
    """Return a maker of a capability's generator; `settings` go over those of the fake."""
    made = []

    def build(capability="image", **settings):
        urls = {"queue_url": fake.url, "rest_url": fake.url}
        given = {"api_key": module.KEY, "deadline_s": 3} | urls | settings
        services = Services()
        services.http = HttpClients(Settings(), Metrics())
        made.append(services.http)
        ctx = PluginContext("fal", services, FalSettings(**given), get_logger("fal"))
        return KINDS[capability](ctx)

    yield build
    for clients in made:
        await clients.close()


@pytest.fixture
def pictures(tmp_path):
    """Two files: one that travels in a request, one that is uploaded."""
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    small.write_bytes(b"\x89PNG\r\n\x1a\n" + b"s" * 1000)
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + b"l" * 1_000_000)
    return SimpleNamespace(small=small, large=large)


@pytest.fixture
def call():
    """Return a maker of calls as the receiver hands them over."""

    def build(headers, body, query="job=j-1&attempt=1&token=t&fal_model=flux-dev"):
        headers = {name.lower(): value for name, value in headers.items()}
        return WebhookCall(
            path="/api/webhooks/fal", query=query, headers=headers, body=body, received_at=now_ms()
        )

    return build
