"""The vendor's fake, and a Studio that is configured for it."""

from __future__ import annotations

from functools import partial

import pytest

from studio.testing.contexts import alone, wrapped
from studio_bedrock.plugin import Plugin
from studio_bedrock.settings import BedrockSettings


@pytest.fixture(scope="session")
def fakes(load_fake):
    return load_fake("bedrock")


@pytest.fixture
async def fake(fakes):
    vendor = fakes.Fake()
    async with vendor.serving():
        yield vendor


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Return a maker of a running Studio with this plugin alone; variables as an operator sets them."""
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)
    return partial(alone, tmp_path, "bedrock")


@pytest.fixture
def open_chat(fake, fakes, monkeypatch):
    """Return a maker of the chat model as features get it, before the fake."""
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)
    named = {"api_key": fakes.KEY, "account_id": fakes.ACCOUNT, "base_url": fake.url}
    return lambda **changed: wrapped(Plugin, "chat", BedrockSettings(**named | changed))


@pytest.fixture
async def chat(open_chat):
    async with open_chat() as provider:
        yield provider
