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

    @asynccontextmanager
    async def start(**variables):
        environ = {
            "STUDIO_ENV": "test",
            "STUDIO_CONFIG_DIR": str(tmp_path),
            "STUDIO_PLUGINS__ENABLED": "bedrock,free",
            "STUDIO_OWNERS__COST": "free",
            "STUDIO_LOGGING__LEVEL": "error",
            "STUDIO_LOGGING__DIRECTORY": str(tmp_path / "errors"),
            **variables,
        }
        studio = Studio(environ=environ, database=InMemoryDatabase())
        async with running(studio):
            yield studio

    return start


@pytest.fixture
def open_chat(fake, fakes, tmp_path, monkeypatch):
    """Return a maker of the chat model as features get it, wrapped, before the fake; no whole Studio."""
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)

    @asynccontextmanager
    async def start(**changed):
        named = {"api_key": fakes.KEY, "account_id": fakes.ACCOUNT, "base_url": fake.url}
        services = Services()
        services.settings, services.metrics = Settings(), Metrics()
        services.http, providers = (
            HttpClients(services.settings, services.metrics),
            Providers(services.settings),
        )
        ctx = PluginContext("bedrock", services, BedrockSettings(**named | changed), get_logger("bedrock"))
        providers.register("bedrock", ctx, Plugin().register_providers(ctx))
        yield providers.get("chat", "bedrock")
        await services.http.close()

    return start


@pytest.fixture
async def chat(open_chat):
    async with open_chat() as provider:
        yield provider
