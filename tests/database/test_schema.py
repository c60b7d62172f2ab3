from __future__ import annotations

import asyncio

import pytest

from studio import Collection, Database, Index, Migration, PluginError
from studio.database import schema
from studio.testing import InMemoryDatabase

pytestmark = pytest.mark.memory


@pytest.fixture(params=["memory", "embedded"])
async def fresh(request):
    if request.param == "memory":
        yield InMemoryDatabase()
        return
    from studio.testing.servers import temporary_database

    async with temporary_database(request.getfixturevalue("database_server_url")) as database:
        yield database


def steps(log: list[int], *versions: int) -> list[Migration]:
    def step(version: int) -> Migration:
        async def apply(database: Database) -> None:
            await database["plugin_state"].get("x")
            log.append(version)

        return Migration(version, f"step {version}", apply)

    return [step(version) for version in versions]


def test_declaring_twice_names_both_owners_and_declares_nothing():
    database = InMemoryDatabase()
    database.declare([("stories", Collection("scenes"))])
    with pytest.raises(PluginError, match="'scenes' is declared by 'stories' and again by 'stranger'"):
        database.declare([("stranger", Collection("other")), ("stranger", Collection("scenes"))])
    with pytest.raises(KeyError):
        database["other"]


def test_declaring_the_same_again_is_no_error():
    database = InMemoryDatabase()
    pair = ("stories", Collection("scenes", indexes=(Index((("a", 1),)),)))
    database.declare([pair])
    first = database["scenes"]
    database.declare([pair])
    assert database["scenes"] is first


async def test_migrations_run_once_in_order_and_are_recorded(fresh):
    log: list[int] = []
    assert await fresh.migrate("p", steps(log, 2, 1)) == [1, 2]
    assert await fresh.migrate("p", steps(log, 1, 2)) == []
    assert await fresh.migrate("p", steps(log, 1, 2, 5)) == [5]
    assert log == [1, 2, 5]
    state = await fresh["plugin_state"].get("p")
    assert (state["plugin"], state["schema_version"]) == ("p", 5)
    assert state["migrated_at"] > 0
    assert "lease" not in state


async def test_plugin_without_migrations_writes_nothing(fresh):
    assert await fresh.migrate("p", []) == []
    assert await fresh["plugin_state"].get("p") is None


async def test_older_release_is_refused(fresh):
    await fresh.migrate("p", steps([], 1, 2))
    for known in ([1], []):
        with pytest.raises(PluginError, match=r"p: its data is at version 2, this release knows"):
            await fresh.migrate("p", steps([], *known))


@pytest.mark.parametrize("versions", [[1, 1], [0], [-1, 2]], ids=str)
async def test_migration_versions_must_count_from_one(versions):
    with pytest.raises(PluginError, match="unique and count from 1"):
        await InMemoryDatabase().migrate("p", steps([], *versions))


async def test_failed_step_keeps_the_ones_before_it_and_frees_the_lease(fresh):
    log: list[int] = []

    async def broken(_: Database) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await fresh.migrate("p", [*steps(log, 1), Migration(2, "broken", broken)])
    assert await fresh.migrate("p", steps(log, 1, 2)) == [2]
    assert log == [1, 2]


async def test_heartbeat_that_loses_its_cancellation_holds_up_no_start(deaf_beats):
    database = InMemoryDatabase()
    beats = deaf_beats(database["plugin_state"], lambda _, change: "$inc" in change)

    async def step(_: Database) -> None:
        await beats.get()

    async with asyncio.timeout(3):
        assert await database.migrate("p", [Migration(1, "slow", step)]) == [1]


async def test_two_processes_apply_each_step_once(fresh):
    log: list[int] = []
    done = await asyncio.gather(*(fresh.migrate("p", steps(log, 1, 2, 3)) for _ in range(4)))
    assert log == [1, 2, 3]
    assert sorted(map(len, done)) == [0, 0, 0, 3]


async def test_dead_process_is_taken_over_and_a_live_one_is_not(monkeypatch):
    monkeypatch.setattr(schema, "LEASE_S", 0.6)
    monkeypatch.setattr(schema, "POLL_S", 0.01)
    database, log = InMemoryDatabase(), []
    dead = {"token": "dead", "beat": 3}
    await database["plugin_state"].insert({"_id": "p", "plugin": "p", "schema_version": 0, "lease": dead})
    assert await database.migrate("p", steps(log, 1)) == [1]

    async def slow(_: Database) -> None:
        async with asyncio.timeout(20):
            while (await database["plugin_state"].get("p"))["lease"]["beat"] < 5:  # longer than a lease
                await asyncio.sleep(0.02)
        log.append(2)

    first = asyncio.create_task(database.migrate("p", [*steps(log, 1), Migration(2, "slow", slow)]))
    await asyncio.sleep(0)
    second = await database.migrate("p", steps(log, 1, 2))
    assert (await first, second) == ([2], [])
    assert log == [1, 2]


async def test_process_that_lost_its_lease_records_nothing():
    database = InMemoryDatabase()

    async def robbed(_: Database) -> None:
        await database["plugin_state"].update("p", {"$set": {"lease": {"token": "thief", "beat": 0}}})

    with pytest.raises(PluginError, match="another process took over"):
        await database.migrate("p", [Migration(1, "robbed", robbed)])
    state = await database["plugin_state"].get("p")
    assert (state["schema_version"], state["lease"]["token"]) == (0, "thief")
