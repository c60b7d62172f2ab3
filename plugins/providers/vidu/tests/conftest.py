"""Vidu's fake, and a generator that talks to it."""

from __future__ import annotations

from functools import partial

import pytest

from studio import VideoRequest
from studio.testing.contexts import contexts
from studio.testing.vendor import received
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
    async with contexts() as context_of:

        def build(**settings):
            given = {"api_key": module.KEY, "base_url": fake.url, "deadline_s": 3} | settings
            return ViduVideoGenerator(context_of("vidu", ViduSettings(**given)))

        yield build


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
    return partial(received, "vidu")
