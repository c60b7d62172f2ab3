from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from studio.testing.servers import temporary_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import Database

TARGETS = ["embedded-motor"]
if os.environ.get("MONGODB_URL"):
    TARGETS += ["external-pymongo", "external-motor"]


@pytest.fixture(scope="module", params=TARGETS)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    place, driver = request.param.split("-")
    if driver == "motor":
        pytest.importorskip("motor", reason="pip install 'studio-backend[motor]'")
    embedded = place == "embedded"
    url = request.getfixturevalue("database_server_url") if embedded else os.environ["MONGODB_URL"]
    async with temporary_database(url, driver, timeout_ms=15_000) as database:
        database.declare([("tests", collection) for collection in request.module.COLLECTIONS])
        await database.ensure()
        yield database
