"""`studio usage check` as an operator runs it: a process of its own beside the server's database."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

from studio import new_id
from studio_usage.collections import COLLECTIONS

pytestmark = pytest.mark.child


@pytest.fixture
async def run(database, database_server_url, tmp_path):
    names = {kind: database._places[kind][1] for kind in ("studio", "stories")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STUDIO_")}
    env = kept | {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(tmp_path),
        "STUDIO_DATABASE__URL": database_server_url,
        "STUDIO_DATABASE__STUDIO_NAME": names["studio"],
        "STUDIO_DATABASE__STORIES_NAME": names["stories"],
        "STUDIO_PLUGINS__ENABLED": "projects,usage",
        "STUDIO_OWNERS__COST": "usage",
    }

    async def run(*arguments):
        command = [sys.executable, "-m", "studio", "usage", "check", "--json", *arguments]
        child = await asyncio.create_subprocess_exec(
            *command, env=env, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, error = await child.communicate()
        assert out, error.decode()
        return child.returncode, json.loads(out)

    return run


async def test_what_differs_is_told_and_mended_on_demand(run, database, build_house):
    database.declare([("usage", collection) for collection in COLLECTIONS])
    house = build_house(database)
    name, job = await house.budget(1000), new_id()
    await house.hold(40, job)
    await house.capture(job, 30)
    await house.database["budgets"].update({"rule_id": name}, {"$inc": {"spent_uusd": 5}})
    code, report = await run("--all")
    assert code == 1
    wrong = {"what": "budget.spent_uusd", "id": f"{name}:0", "ledger": 30, "found": 35}
    assert wrong in report["differences"]
    code, report = await run("--all", "--repair")
    assert (code, report["repaired"], report["differences"]) == (0, 1, [])
    assert await house.figures(name) == (0, 30, 970)
