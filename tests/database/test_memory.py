from __future__ import annotations

import datetime as dt
import time

import pytest

from studio import Collection, ConflictError, Index
from studio.testing import InMemoryDatabase

pytestmark = pytest.mark.memory


class Clock:
    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


def expiring(clock: Clock) -> InMemoryDatabase:
    database = InMemoryDatabase(clock)
    indexes = (Index((("expires_at", 1),), ttl_s=60), Index((("email", 1),), unique=True))
    database.declare([("auth", Collection("otp", indexes=indexes))])
    return database


async def test_documents_under_a_ttl_index_end_with_the_injected_clock():
    clock = Clock()
    otp = expiring(clock)["otp"]
    at = dt.datetime.fromtimestamp(clock.ms / 1000, dt.UTC)
    await otp.insert({"_id": "1", "email": "a", "expires_at": at})
    await otp.insert({"_id": "2", "email": "b", "expires_at": 5})  # a number is no date, as on a server
    clock.ms += 59_999
    assert await otp.get("1") is not None
    clock.ms += 1
    assert await otp.get("1") is None
    assert [document["_id"] for document in await otp.find({})] == ["2"]
    await otp.insert({"_id": "3", "email": "a"})


async def test_clock_stamps_documents():
    clock = Clock()
    otp = expiring(clock)["otp"]
    assert (await otp.insert({"_id": "1", "email": "a"}))["created_at"] == clock.ms
    clock.ms += 5
    await otp.update("1", {"$set": {"n": 1}})
    assert (await otp.get("1"))["updated_at"] == clock.ms


async def test_refused_update_leaves_the_unique_index_as_it_was():
    otp = expiring(Clock())["otp"]
    await otp.insert_many([{"_id": "1", "email": "a"}, {"_id": "2", "email": "b"}])
    with pytest.raises(ConflictError):
        await otp.update("2", {"$set": {"email": "a"}})
    with pytest.raises(ConflictError):
        await otp.insert({"_id": "3", "email": "b"})


async def test_read_by_id_looks_at_no_other_document():
    best = {size: await best_read_s(size) for size in (10, 10_000)}
    assert best[10_000] < 50 * best[10], "a thousand times the documents"


async def best_read_s(size):
    """Return the seconds of the fastest of 50 reads by id among so many documents."""
    things = InMemoryDatabase()
    things.declare([("p", Collection("things"))])
    await things["things"].insert_many([{"_id": str(i), "a": i} for i in range(size)])
    spent = []
    for _ in range(50):
        start = time.perf_counter()
        await things["things"].get("9")
        spent.append(time.perf_counter() - start)
    return min(spent)
