"""The pytest plugin of Studio. Its async fixtures need pytest-asyncio's auto mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from studio.database.mongo import MongoDatabase
    from studio.testing.client import Client


@pytest.fixture(scope="session")
def database_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a SecantusDB for this test run (one for each pytest-xdist worker)."""
    from studio.testing import servers  # noqa: PLC0415 - a pytest plugin must cost nothing where nobody asks

    try:
        with servers.running("database", tmp_path_factory.mktemp("database")) as server:
            yield server.url
    except servers.ServerMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cache_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a Valkey for this test run (one for each pytest-xdist worker)."""
    from studio.testing import servers  # noqa: PLC0415 - a pytest plugin must cost nothing where nobody asks

    try:
        with servers.running("cache", tmp_path_factory.mktemp("cache")) as server:
            yield server.url
    except servers.ServerMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
async def database(database_server_url: str) -> AsyncIterator[MongoDatabase]:
    """Yield both databases on the real server under names of this test file; declare your collections."""
    from studio.testing.servers import temporary_database  # noqa: PLC0415 - as above

    async with temporary_database(database_server_url) as database:
        yield database


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """Yield an anonymous client of a whole Studio with every installed plugin, on the in-memory database."""
    from studio.testing.client import serving  # noqa: PLC0415 - as above

    async with serving(tmp_path_factory.mktemp("studio")) as client:
        yield client


@pytest.fixture
async def client(server: Client) -> Client:
    """Return a client that is signed in as a user nobody else is."""
    from studio.model import new_id  # noqa: PLC0415 - as above

    return await server.sign_in(f"{new_id().lower()}@example.org")
