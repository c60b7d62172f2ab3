"""fal's fake, and generators that talk to it."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest

from studio.testing.contexts import contexts
from studio.testing.vendor import received
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
    async with contexts() as context_of:

        def build(capability="image", **settings):
            given = {"api_key": module.KEY, "deadline_s": 3, "queue_url": fake.url, "rest_url": fake.url}
            return KINDS[capability](context_of("fal", FalSettings(**given | settings)))

        yield build


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
    return partial(received, "fal", query="job=j-1&attempt=1&token=t&fal_model=flux-dev")
