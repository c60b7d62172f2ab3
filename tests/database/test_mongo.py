from __future__ import annotations

import asyncio
import time

import pytest
from bson.errors import InvalidDocument
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo import errors as driver

from studio import (
    Collection,
    ConfigError,
    ConflictError,
    DatabaseUnavailableError,
    Index,
    InvalidInputError,
    PayloadTooLargeError,
    PluginError,
    StudioError,
)
from studio.database import DatabaseSettings, connect
from studio.database.mongo import MongoDatabase, translated
from studio.testing.servers import start_database, temporary_database

pytestmark = pytest.mark.database

TABLE = [
    (driver.ServerSelectionTimeoutError("gone"), DatabaseUnavailableError),
    (driver.NetworkTimeout("slow"), DatabaseUnavailableError),
    (driver.AutoReconnect("reset"), DatabaseUnavailableError),
    (driver.NotPrimaryError("stepped down"), DatabaseUnavailableError),
    (driver.WaitQueueTimeoutError("pool"), DatabaseUnavailableError),
    (driver.ExecutionTimeout("maxTimeMS", 50), DatabaseUnavailableError),
    (driver.WTimeoutError("majority", 64), DatabaseUnavailableError),
    (driver.OperationFailure("who are you", 18), DatabaseUnavailableError),
    (driver.WriteError("validator", 121), InvalidInputError),
    (InvalidDocument("set"), InvalidInputError),
    (OverflowError("8 bytes"), InvalidInputError),
    (driver.DocumentTooLarge("17 MB"), PayloadTooLargeError),
    (driver.WriteError("after update", 10334), PayloadTooLargeError),
    (driver.DuplicateKeyError("dup", 11000), ConflictError),
    (driver.OperationFailure("unknown operator", 2), StudioError),
]


@pytest.mark.parametrize(("raised", "kind"), TABLE, ids=lambda value: getattr(value, "__name__", repr(value)))
def test_driver_error_becomes_ours(raised, kind):
    error = translated(raised)
    assert type(error) is kind
    assert error.retry_after == (1 if kind is DatabaseUnavailableError else None)


def test_duplicate_in_a_batch_names_its_key():
    details = {"writeErrors": [{"code": 11000, "keyPattern": {"email": 1, "org": 1}}]}
    assert translated(driver.BulkWriteError(details)).extra == {"key": ["email", "org"]}


def test_connect_without_url_says_what_to_set():
    with pytest.raises(ConfigError, match="STUDIO_DATABASE__URL"):
        connect(DatabaseSettings())


@pytest.mark.parametrize("url", ["http://x", "mongodb://", "mongodb://h:notaport/"])
def test_connect_with_a_bad_url_is_a_config_error(url):
    with pytest.raises(ConfigError, match=r"database\.url"):
        connect(DatabaseSettings(url=SecretStr(url)))


async def test_refused_server_is_unavailable_within_the_deadline():
    database = MongoDatabase("mongodb://127.0.0.1:1", DatabaseSettings(timeout_ms=300))
    start = time.monotonic()
    with pytest.raises(DatabaseUnavailableError) as caught:
        await database.ping()
    assert time.monotonic() - start < 5, "the driver's own deadline is 30 s"
    assert caught.value.retry_after == 1
    await database.close()


async def test_both_databases_share_a_client_unless_the_urls_differ(database_server_url):
    url = database_server_url
    one = connect(DatabaseSettings(url=SecretStr(url), stories_url=SecretStr(url)))
    two = connect(DatabaseSettings(url=SecretStr(url), stories_url=SecretStr(f"{url}/?appname=stories")))
    assert (len(one._clients), len(two._clients)) == (1, 2)
    await two.ping()
    await one.close()
    await two.close()


async def test_collections_live_in_the_database_they_name(database_server_url):
    async with temporary_database(database_server_url) as database:
        database.declare([("p", Collection("users")), ("p", Collection("scenes", database="stories"))])
        await database["users"].insert({"_id": "u"})
        await database["scenes"].insert({"_id": "s"})
        async with AsyncMongoClient(database_server_url) as client:
            names = [name for _, name in database._places.values()]
            assert await client[names[0]].list_collection_names() == ["users"]
            assert await client[names[1]].list_collection_names() == ["scenes"]


async def indexes_of(database: MongoDatabase, collection: Collection) -> dict:
    return await database._collection(collection).index_information()


async def test_ensure_creates_what_is_missing_and_is_repeatable(database_server_url):
    collection = Collection(
        "things",
        indexes=(
            Index((("a", 1), ("b", -1))),
            Index((("email", 1),), unique=True, partial={"email": {"$exists": True}}),
            Index((("name", 1),), unique=True, case_insensitive=True),
            Index((("expires_at", 1),), ttl_s=60),
        ),
    )
    async with temporary_database(database_server_url) as database:
        database.declare([("p", collection)])
        await database.ensure()
        first = await indexes_of(database, collection)
        await database.ensure()
        assert await indexes_of(database, collection) == first
        assert set(first) == {"_id_", "a_1_b_-1", "email_1", "name_1_ci", "expires_at_1"}
        assert first["expires_at_1"]["expireAfterSeconds"] == 60
        assert first["name_1_ci"]["collation"]["strength"] == 2


async def test_ensure_rebuilds_an_index_whose_options_changed(database_server_url):
    async with temporary_database(database_server_url) as database:
        old = Collection("otp", indexes=(Index((("at", 1),), ttl_s=60), Index((("kept", 1),))))
        database.declare([("p", old)])
        await database.ensure()
        new = Collection("otp", indexes=(Index((("at", 1),), ttl_s=90), Index((("kept", 1),))))
        await database._ensure("p", new)
        assert (await indexes_of(database, new))["at_1"]["expireAfterSeconds"] == 90


async def test_ensure_on_duplicates_names_owner_and_collection(database_server_url):
    async with temporary_database(database_server_url) as database:
        collection = Collection("users", indexes=(Index((("email", 1),), unique=True),))
        database.declare([("auth", collection)])
        await database["users"].insert_many([{"email": "x"}, {"email": "x"}])
        with pytest.raises(PluginError, match="auth: documents of 'users' break a new unique index"):
            await database.ensure()


async def test_killed_server_answers_503_fast_then_comes_back_with_every_acknowledged_write(tmp_path):
    server = start_database(tmp_path)
    hasty, patient = (MongoDatabase(server.url, DatabaseSettings(timeout_ms=ms)) for ms in (300, 20_000))
    for database in (hasty, patient):
        database.declare([("p", Collection("things"))])
    things = hasty["things"]
    try:
        for number in range(20):
            await patient["things"].insert({"_id": str(number)})
        server.stop()
        waits = [await unavailable_s(things) for _ in range(5)]
        assert max(waits) < 5, "the driver's own deadline is 30 s"
        assert not things._guard.breaker.allow(), "five failures, and nobody waits for the sixth"
        server = start_database(tmp_path, server.port)
        back = time.monotonic()
        while await unavailable_s(things) is not None:
            assert time.monotonic() - back < 20
            await asyncio.sleep(0.02)
        assert await patient["things"].count({}) == 20
    finally:
        await asyncio.gather(hasty.close(), patient.close())
        server.stop()


async def unavailable_s(things) -> float | None:
    start = time.monotonic()
    try:
        await things.get("1")
    except DatabaseUnavailableError:
        return time.monotonic() - start
    return None
