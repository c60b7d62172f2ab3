"""The tracker before a fake of Jira, and a vendor that gives one canned answer."""

from __future__ import annotations

import json

import pytest
import structlog
from aiohttp import web

from studio import PluginContext
from studio.testing.kit import HttpClients, Metrics, Services, Settings
from studio.testing.vendor import FakeVendor
from studio_jira.client import JiraIssueTracker
from studio_jira.settings import JiraSettings


class Canned(FakeVendor):
    """Gives the same answer to everything."""

    def __init__(self, status, body=None, headers=None, text=None):
        super().__init__()
        self._made = status, json.dumps(body) if text is None else text, headers or {}

    def routes(self):
        return [web.route("*", "/{any:.*}", self._answer)]

    async def _answer(self, request):
        status, text, headers = self._made
        return web.Response(status=status, text=text, headers=headers, content_type="application/json")


@pytest.fixture
def canned():
    return Canned


@pytest.fixture(scope="session")
def jira_fakes(load_fake):
    return load_fake("jira")


@pytest.fixture
async def jira(jira_fakes):
    async with jira_fakes.FakeJira().serving() as fake:
        yield fake


@pytest.fixture
async def tracker_at(jira_fakes):
    """Return a function that builds a tracker for an address."""
    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(Settings(), services.metrics)

    def build(url, **changed):
        way = {"url": url, "email": jira_fakes.EMAIL, "api_token": jira_fakes.TOKEN, "project": "STU"}
        named = JiraSettings(**way | changed)
        return JiraIssueTracker(PluginContext("jira", services, named, structlog.get_logger()))

    yield build
    await services.http.close()


@pytest.fixture(autouse=True)
def try_again_soon(monkeypatch):
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.01)
