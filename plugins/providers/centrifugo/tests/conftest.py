"""The transport before a fake of Centrifugo."""

from __future__ import annotations

import pytest

from studio.testing.contexts import contexts
from studio_centrifugo import sender
from studio_centrifugo.settings import CentrifugoSettings
from studio_centrifugo.transport import CentrifugoTransport


@pytest.fixture(scope="session")
def centrifugo_fakes(load_fake):
    return load_fake("centrifugo")


@pytest.fixture
async def centrifugo(centrifugo_fakes):
    async with centrifugo_fakes.FakeCentrifugo().serving() as fake:
        yield fake


@pytest.fixture
async def transport_at(centrifugo_fakes, monkeypatch):
    """Return a function that builds a transport for an address; it tries again soon."""
    monkeypatch.setattr(sender, "PAUSE_S", 0.01)
    made = []
    async with contexts() as make:

        def build(url, **changed):
            named = {"api_url": f"{url}/api", "api_key": centrifugo_fakes.KEY, "deadline_s": 1} | changed
            ctx = make("centrifugo", CentrifugoSettings(**named))
            made.append(CentrifugoTransport(ctx, ctx.settings(CentrifugoSettings)))
            return made[-1]

        yield build
        for transport in made:
            await transport.sender.finish(0)


@pytest.fixture(autouse=True)
def try_again_soon(monkeypatch):
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.01)
