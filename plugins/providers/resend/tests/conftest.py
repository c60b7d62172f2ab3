"""The mailer before a fake of Resend, and a vendor that gives one canned answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.testing.contexts import contexts
from studio.testing.vendor import Canned
from studio_resend.client import ResendMailer
from studio_resend.settings import ResendSettings

PAYLOADS = Path(__file__).parent / "payloads"


@pytest.fixture
async def mailer_at():
    """Return a function that builds a mailer for an address."""
    named = {"api_key": "re_fake_0123456789abcdef", "sender": "Studio <mail@example.com>"}
    async with contexts() as make:
        yield lambda url="https://api.resend.com", **changed: ResendMailer(
            make("resend", ResendSettings(**named | {"api_url": url} | changed))
        )


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
