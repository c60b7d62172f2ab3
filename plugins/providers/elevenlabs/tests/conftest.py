"""The vendor's fake, and a Studio that is configured for it."""

from __future__ import annotations

from functools import partial

import pytest

from studio.testing.contexts import alone, wrapped
from studio_elevenlabs.plugin import Plugin
from studio_elevenlabs.settings import ElevenLabsSettings


@pytest.fixture(scope="session")
def fakes(load_fake):
    return load_fake("elevenlabs")


@pytest.fixture
async def fake(fakes):
    vendor = fakes.Fake()
    async with vendor.serving():
        yield vendor


@pytest.fixture(autouse=True)
def try_again_soon(monkeypatch):
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)


@pytest.fixture
def started(tmp_path):
    """Return a maker of a running Studio with this plugin alone; variables as an operator sets them."""
    return partial(alone, tmp_path, "elevenlabs", STUDIO_ELEVENLABS__WORK_DIR=str(tmp_path / "work"))


@pytest.fixture
def open_provider(fake, fakes, tmp_path):
    """Return a maker of a capability's provider as features get it, wrapped, before the fake; no whole Studio."""

    def start(capability, **changed):
        named = {
            "api_key": fakes.KEY, "webhook_secret": fakes.WEBHOOK_SECRET, "base_url": fake.url,
            "work_dir": tmp_path / "work",
        }  # fmt: skip
        return wrapped(Plugin, capability, ElevenLabsSettings(**named | changed))

    return start


@pytest.fixture
def open_voice(open_provider):
    return partial(open_provider, "voice")


@pytest.fixture
async def voice(open_voice):
    async with open_voice() as provider:
        yield provider
