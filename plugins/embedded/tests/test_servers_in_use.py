"""Both servers as their users see them: login, data, kill -9 in the middle of work."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from pymongo.errors import OperationFailure
from redis.exceptions import AuthenticationError

from studio_embedded.api import EmbeddedDatabase, embedded_cache, embedded_database
from studio_embedded.database import _drop_other_users
from studio_embedded.errors import FolderInUseError

pytestmark = pytest.mark.child


async def test_database_answers_with_its_url(database, mongo):
    async with mongo(database.url) as client:
        await client.app.things.insert_one({"_id": "a", "n": 1})
        assert await client.app.things.find_one({"_id": "a"}) == {"_id": "a", "n": 1}


async def test_database_without_login_refuses(database, mongo):
    async with mongo(f"mongodb://127.0.0.1:{database._port}/?directConnection=true") as client:
        with pytest.raises(OperationFailure) as refused:
            await client.app.things.find_one({})
    assert refused.value.code == 13


async def test_database_with_a_wrong_password_refuses(database, mongo):
    wrong = database.url.replace(database._credentials["password"], "wrong")
    async with mongo(wrong) as client:
        with pytest.raises(OperationFailure):
            await client.app.things.find_one({})


async def test_cache_without_a_password_refuses(cache, redis):
    async with redis(f"redis://127.0.0.1:{cache._port}/0") as client:
        with pytest.raises(AuthenticationError):
            await client.get("a")


async def test_database_killed_midwork_goes_on_at_the_same_url(database, mongo, kill):
    acknowledged = []
    async with mongo(database.url, timeout_ms=10_000) as client:
        for number in range(30):
            if number == 10:
                kill(database)
            await client.app.kept.insert_one({"_id": number})
            acknowledged.append(number)
        assert [doc["_id"] async for doc in client.app.kept.find().sort("_id", 1)] == acknowledged
    assert "restarts 1" in database.health()
    assert database.folder.read_state("database")["restarts"] == 1


async def test_cache_killed_midwork_comes_back_with_its_data(cache, redis, until, kill):
    async with redis(cache.url) as client:
        await client.set("kept", "yes")
    before = cache.restarts
    kill(cache)
    await until(lambda: cache.restarts == before + 1 and "up " in cache.health())

    async def kept():
        async with redis(cache.url) as client:
            return await client.get("kept") == b"yes"

    await until(kept)


async def test_a_second_start_in_the_folder_names_the_owner(database, mongo):
    with pytest.raises(FolderInUseError, match=rf"process {os.getpid()} .*STUDIO_EMBEDDED__DATA_DIR"):
        await EmbeddedDatabase(database.folder.path).start()
    async with mongo(database.url) as client:
        assert (await client.admin.command("ping"))["ok"] == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the process table of Linux")
async def test_no_secret_stands_on_a_command_line_or_in_an_environment(
    database, cache, monkeypatch, until, kill
):
    monkeypatch.setenv("STUDIO_OPENAI__API_KEY", "canary")
    kill(cache)  # its successor starts with the canary in our environment
    before = cache.restarts
    await until(lambda: cache.restarts > before and "up " in cache.health())
    for server in (database, cache):
        proc = Path("/proc") / str(server._child.pid)
        assert server._credentials["password"].encode() not in (proc / "cmdline").read_bytes()
        assert b"canary" not in (proc / "environ").read_bytes()


def test_secrets_are_readable_by_their_owner_only(database, cache):
    names = ("database.secret.json", "cache.secret.json", "valkey.conf", "embedded.json", "logs/cache.log")
    for name in names:
        assert stat.S_IMODE((database.folder.path / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(cache.folder.path.stat().st_mode) == 0o700


async def test_users_made_by_strangers_are_dropped(database, mongo):
    async with mongo(database.url) as client:
        await client.other.command("createUser", "mallory", pwd="x", roles=["readWrite"])
        await _drop_other_users(client, database._credentials["user"])
        users = await client.admin["system.users"].find().to_list()
    assert [user["user"] for user in users] == ["studio"]


async def test_data_port_and_password_survive_a_restart(tmp_path, mongo):
    async def visit(expected):
        async with embedded_database(tmp_path) as url, mongo(url) as client:
            assert await client.app.things.count_documents({}) == expected
            await client.app.things.insert_one({"n": expected})
        return url

    assert await visit(0) == await visit(1)


async def test_cache_survives_a_restart(tmp_path, redis):
    async with embedded_cache(tmp_path) as url, redis(url) as client:
        await client.set("a", "1")
    async with embedded_cache(tmp_path) as again, redis(again) as client:
        assert await client.get("a") == b"1"
    assert again == url


async def test_database_whose_credentials_were_lost_keeps_its_data(tmp_path, mongo):
    async with embedded_database(tmp_path) as url, mongo(url) as client:
        await client.app.things.insert_one({"_id": "kept"})
    secret = tmp_path / "database.secret.json"
    secret.unlink()
    async with embedded_database(tmp_path) as renewed, mongo(renewed) as client:
        assert await client.app.things.find_one({"_id": "kept"})
    assert renewed != url

    secret.write_text(secret.read_text().replace('"password": "', '"password": "other'))
    async with embedded_database(tmp_path) as third, mongo(third) as client:
        assert await client.app.things.find_one({"_id": "kept"})


async def test_both_helpers_share_a_folder_at_the_same_time(tmp_path, mongo, redis):
    async def use_database():
        async with embedded_database(tmp_path) as url, mongo(url) as client:
            return (await client.admin.command("ping"))["ok"]

    async def use_cache():
        async with embedded_cache(tmp_path) as url, redis(url) as client:
            return await client.ping()

    assert await asyncio.gather(use_database(), use_cache()) == [1, True]
