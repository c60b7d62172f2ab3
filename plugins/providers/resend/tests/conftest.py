"""The mailer before a fake of Resend, and a vendor that gives one canned answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from studio import PluginContext
from studio.testing.kit import HttpClients, Metrics, Services, Settings
from studio.testing.vendor import FakeVendor
from studio_resend.client import ResendMailer
from studio_resend.settings import ResendSettings

PAYLOADS = Path(__file__).parent / "payloads"


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
async def mailer_at():
    """Return a function that builds a mailer for an address."""
    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(Settings(), services.metrics)

    def build(url="https://api.resend.com", **changed):
        named = {"api_key": "re_fake_0123456789abcdef", "sender": "Studio <mail@example.com>", "api_url": url}
        ctx = PluginContext("resend", services, ResendSettings(**named | changed), structlog.get_logger())
        return ResendMailer(ctx)

    yield build
    await services.http.close()


@pytest.fixture
def canned():
    return Canned


@pytest.fixture(scope="session")
def resend_fakes(load_fake):
    return load_fake("resend")


@pytest.fixture
async def vendor(resend_fakes):
    async with resend_fakes.FakeResend().serving() as fake:
        yield fake


@pytest.fixture(scope="session")
def payload():
    return lambda name: (PAYLOADS / name).read_bytes()


@pytest.fixture(autouse=True)
def try_again_soon(monkeypatch):
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.01)
    monkeypatch.setattr("studio_resend.client.WAIT_S", 0.01)
