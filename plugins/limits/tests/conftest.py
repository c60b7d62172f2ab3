from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from studio.testing.client import serving

RATES = ("ALL", "CREATE", "AUTH", "REFRESH", "MAIL")


@pytest.fixture
def limited(tmp_path):
    """Serve a whole Studio with the given rates; every other is out of reach."""

    @asynccontextmanager
    async def serve(**given):
        rates = {f"STUDIO_LIMITS__{name}": given.pop(name.lower()) for name in RATES if name.lower() in given}
        async with serving(tmp_path, None, **rates, **given) as client:
            yield client

    return serve
