"""The service before a fake of New Relic."""

from __future__ import annotations

import pytest

from studio.testing.contexts import contexts
from studio_newrelic import forwarder
from studio_newrelic.service import NewRelic
from studio_newrelic.settings import NewrelicSettings


@pytest.fixture(scope="session")
def newrelic_fakes(load_fake):
    return load_fake("newrelic")


@pytest.fixture
async def newrelic(newrelic_fakes):
    async with newrelic_fakes.FakeNewRelic().serving() as fake:
        yield fake


@pytest.fixture
async def service_at(newrelic_fakes, monkeypatch):
    """Return a function that builds the service for an address; it tries again soon."""
    monkeypatch.setattr(forwarder, "AWAY_S", 0.01)
    made = []
    async with contexts() as make:

        def build(url, **changed):
            named = {"license_key": newrelic_fakes.KEY, "account_id": newrelic_fakes.ACCOUNT, "flush_s": 0.01}
            chosen = NewrelicSettings(**named | {"collector": url, "deadline_s": 1} | changed)
            made.append(NewRelic(make("newrelic", chosen), chosen))
            return made[-1]

        yield build
        for service in made:
            for queue in service._queues():
                await queue.finish(0)


@pytest.fixture(autouse=True)
def try_again_soon(monkeypatch):
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.01)
