"""The vendor's fake, and a Studio that is configured for it."""

from __future__ import annotations

from functools import partial

import pytest

from studio.testing.contexts import alone, wrapped
from studio_b2.plugin import Plugin
from studio_b2.settings import B2Settings


@pytest.fixture(scope="session")
def fakes(load_fake):
    return load_fake("s3")


@pytest.fixture
async def fake(fakes):
    vendor = fakes.Fake()
    async with vendor.serving():
        yield vendor


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Return a maker of a running Studio with this plugin alone; variables as an operator sets them."""
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)
    return partial(alone, tmp_path, "b2", STUDIO_B2__CACHE_DIR=str(tmp_path / "cache"))


@pytest.fixture
def open_storage(fake, fakes, tmp_path, monkeypatch):
    """Return a maker of the storage as features get it, before the fake."""
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)
    named = {"key_id": fakes.KEY_ID, "application_key": fakes.SECRET, "bucket": fakes.BUCKET}
    named |= {"base_url": fake.url, "cache_dir": tmp_path / "cache"}
    return lambda **changed: wrapped(Plugin, "storage", B2Settings(**named | changed))


@pytest.fixture
async def storage(open_storage):
    async with open_storage() as provider:
        yield provider
