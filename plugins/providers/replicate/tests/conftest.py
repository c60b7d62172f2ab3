"""Replicate's fake, and generators that talk to it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from studio.testing.contexts import contexts
from studio.testing.vendor import received
from studio_replicate import generators
from studio_replicate.settings import ReplicateSettings

PAYLOADS = json.loads((Path(__file__).parent / "payloads" / "predictions.json").read_text())
KINDS = {
    "image": generators.ReplicateImageGenerator,
    "image_edit": generators.ReplicateImageEditor,
    "video": generators.ReplicateVideoGenerator,
    "music": generators.ReplicateMusicGenerator,
}


@pytest.fixture(scope="session")
def payloads():
    return PAYLOADS


@pytest.fixture
def module(load_fake):
    return load_fake("replicate")


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
            given = {"api_token": module.TOKEN, "base_url": fake.url, "deadline_s": 3} | settings
            return KINDS[capability](context_of("replicate", ReplicateSettings(**given)))

        yield build


@pytest.fixture
def pictures(tmp_path):
    """Two files: one that travels in a request, one that is uploaded."""
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    small.write_bytes(b"\x89PNG\r\n\x1a\n" + b"s" * 1000)
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + b"l" * 300_000)
    return SimpleNamespace(small=small, large=large)


@pytest.fixture
def call():
    """Return a maker of calls as the receiver hands them over."""
    return partial(received, "replicate")
