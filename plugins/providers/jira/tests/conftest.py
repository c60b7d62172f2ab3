"""The tracker before a fake of Jira, and a vendor that gives one canned answer."""

from __future__ import annotations

import pytest

from studio.testing.contexts import contexts
from studio.testing.vendor import Canned
from studio_jira.client import JiraIssueTracker
from studio_jira.settings import JiraSettings


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
    async with contexts() as context_of:

        def build(url, **changed):
            way = {"url": url, "email": jira_fakes.EMAIL, "api_token": jira_fakes.TOKEN, "project": "STU"}
            return JiraIssueTracker(context_of("jira", JiraSettings(**way | changed)))

        yield build


@pytest.fixture(autouse=True)
def try_again_soon(monkeypatch):
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.01)
