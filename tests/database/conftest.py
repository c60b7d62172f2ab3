from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from studio.testing import InMemoryDatabase
from studio.testing.servers import temporary_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import Database


@pytest.fixture(scope="module", params=["memory", "embedded"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    pairs = [("tests", collection) for collection in request.module.COLLECTIONS]
    if request.param == "memory":
        memory = InMemoryDatabase()
        memory.declare(pairs)
        yield memory
        return
    async with temporary_database(request.getfixturevalue("database_server_url")) as database:
        database.declare(pairs)
        await database.ensure()
        yield database
