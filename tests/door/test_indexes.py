"""A plugin whose index cannot be made, on a real database: it fails, with its name, and nobody else."""

from __future__ import annotations

import pytest

from studio import Collection
from studio.app import Studio, running
from studio.errors import DatabaseUnavailableError
from studio.plugins.loader import PluginStartError
from studio.testing.servers import free_port, temporary_database

pytestmark = [pytest.mark.http, pytest.mark.database]
OWNER = """
@hookimpl
def register_collections(self, ctx):
    return [Collection({name!r}, indexes=({index},))]
"""
GOOD_INDEX = "Index((('email', 1),), unique=True)"
BAD = {
    "duplicates": (GOOD_INDEX, "documents of 'bads' break a new unique index, remove the duplicates"),
    "keys": ("Index('email')", "ValueError: "),
    "kind": ("'email'", "AttributeError: "),
    "direction": ("Index((('email', 'sideways'),))", "an index of 'bads' cannot be made: "),
}


def build(door, database, **environ):
    variables = {**door.environ, "STUDIO_PLUGINS__ENABLED": ",".join(door.names), **environ}
    return Studio(environ=variables, database=database)


def install(door, index):
    door.company()
    door.plugin("owner", OWNER.format(name="goods", index=GOOD_INDEX))
    door.plugin("bad", OWNER.format(name="bads", index=index), prefixes=["/api/bad"])
    door.plugin("top", manifest=", requires=('bad',)")


@pytest.mark.parametrize("how", sorted(BAD))
async def test_an_index_that_cannot_be_made_costs_only_its_plugin(door, database_server_url, how):
    index, reason = BAD[how]
    install(door, index)
    async with temporary_database(database_server_url) as database:
        database.declare([("bad", Collection("bads", indexes=()))])
        await database["bads"].insert_many([{"email": "x"}, {"email": "x"}])
        database._declared.pop("bads")
        async with door.open(build(door, database)) as house:
            bad, top = await house.plugin("bad"), await house.plugin("top")
            assert (bad["state"], bad["phase"]) == ("failed", "index")
            assert reason in bad["error"]
            assert (top["state"], top["error"]) == ("blocked", "it requires bad (failed)")
            assert {(await house.plugin(name))["state"] for name in ("root", "good", "owner")} == {"ready"}
            assert (await house.get("/api/bad"))[0] == 503
            assert (await house.get("/api/good"))[0] == 200
            assert (await house.get("/readyz"))[0] == 200
            goods = database._collection(Collection("goods"))
            assert "email_1" in await goods.index_information()


async def test_an_index_that_cannot_be_made_ends_the_start_where_the_policy_says_so(
    door, database_server_url
):
    install(door, BAD["keys"][0])
    async with temporary_database(database_server_url) as database:
        studio = build(door, database, STUDIO_PLUGINS__ON_FAILURE='{"bad": "fail"}')
        with pytest.raises(PluginStartError, match="plugin 'bad' failed in index: ValueError"):
            async with running(studio):
                pass


async def test_a_database_that_is_away_is_no_plugins_fault(door):
    door.company()
    url = f"mongodb://127.0.0.1:{free_port()}"
    studio = Studio(
        environ={**door.environ, "STUDIO_PLUGINS__ENABLED": "root,good", "STUDIO_DATABASE__URL": url}
    )
    with pytest.raises(DatabaseUnavailableError):
        async with running(studio):
            pass
    assert studio.loader.records["good"].state == "registered"
