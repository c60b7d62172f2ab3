"""The runner before a fake of Prefect."""

from __future__ import annotations

import pytest
import structlog

from studio import PluginContext
from studio.testing.kit import HttpClients, Metrics, Services
from studio_prefect.client import PrefectPipelineRunner
from studio_prefect.settings import PrefectSettings


@pytest.fixture(scope="session")
def prefect_fakes(load_fake):
    return load_fake("prefect")


@pytest.fixture
async def prefect(prefect_fakes):
    async with prefect_fakes.FakePrefect().serving() as fake:
        fake.deploy("film/default", required=["story"])
        yield fake


@pytest.fixture
async def runner_at():
    """Return a function that builds a runner for an address."""
    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)

    def build(url="http://127.0.0.1:9", **changed):
        named = PrefectSettings(**{"api_url": f"{url}/api"} | changed)
        return PrefectPipelineRunner(PluginContext("prefect", services, named, structlog.get_logger()))

    yield build
    await services.http.close()


@pytest.fixture(autouse=True)
def try_again_soon(monkeypatch):
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.01)
