"""The vendor's fake, and a Studio that is configured for it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from studio import PluginContext
from studio.testing import InMemoryDatabase
from studio.testing.kit import (
    HttpClients,
    Metrics,
    Providers,
    Services,
    Settings,
    Studio,
    get_logger,
    running,
)
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

    @asynccontextmanager
    async def start(**variables):
        environ = {
            "STUDIO_ENV": "test",
            "STUDIO_CONFIG_DIR": str(tmp_path),
            "STUDIO_PLUGINS__ENABLED": "b2",
            "STUDIO_LOGGING__LEVEL": "error",
            "STUDIO_LOGGING__DIRECTORY": str(tmp_path / "errors"),
            "STUDIO_B2__CACHE_DIR": str(tmp_path / "cache"),
            **variables,
        }
        studio = Studio(environ=environ, database=InMemoryDatabase())
        async with running(studio):
            yield studio

    return start


@pytest.fixture
def open_storage(fake, fakes, tmp_path, monkeypatch):
    """Return a maker of the storage as features get it, wrapped, before the fake; no whole Studio."""
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)

    @asynccontextmanager
    async def start(**changed):
        named = {
            "key_id": fakes.KEY_ID, "application_key": fakes.SECRET, "bucket": fakes.BUCKET, "base_url": fake.url,
            "cache_dir": tmp_path / "cache",
        }  # fmt: skip
        services = Services()
        services.settings, services.metrics = Settings(), Metrics()
        services.http, providers = (
            HttpClients(services.settings, services.metrics),
            Providers(services.settings),
        )
        ctx = PluginContext("b2", services, B2Settings(**named | changed), get_logger("b2"))
        providers.register("b2", ctx, Plugin().register_providers(ctx))
        yield providers.get("storage", "b2")
        await services.http.close()

    return start


@pytest.fixture
async def storage(open_storage):
    async with open_storage() as provider:
        yield provider
