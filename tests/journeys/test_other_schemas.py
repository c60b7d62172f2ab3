"""Documents that a newer version wrote: after a step back every route answers, and nothing foreign leaves.

A whole Studio in memory is filled over HTTP, its documents get fields that this version does not know, and every
operation of its OpenAPI document is called with the ids of what is there.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from studio.testing.client import serving

pytestmark = pytest.mark.http
FOREIGN = {"zz_of_tomorrow": {"deep": [1, None, {"zq7canary": True}]}, "zz_secret": "zq7canary"}
ENDS = ("logout", "revoke", "/sessions", "/events", "/leave")


def stage_of():
    path = Path(__file__).parents[1] / "security" / "conftest.py"
    spec = importlib.util.spec_from_file_location("security_stage", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class House:
    """A filled Studio, its owner, and an administrator."""

    api: Any
    owner: Any
    admin: Any
    platform: frozenset
    database: Any

    def calls(self, *methods):
        """Yield (call, who) of every operation that can be asked with what is there."""
        for operation in self.api.operations:
            wanted = operation.method in methods and not any(end in operation.path for end in ENDS)
            if wanted and (call := self.api._possible(operation, self.owner)):
                yield call, self.admin if operation.permission in self.platform else self.owner

    async def broken(self, *methods):
        """Return the operations that answer 500, and all that was said."""
        found, said = [], []
        for call, who in self.calls(*methods):
            answer = await self.api.send(call, who.token)
            said.append(answer.text)
            if answer.status == 500:
                found.append(str(call.operation))
        return found, "".join(said)

    def collections(self):
        return [self.database[name] for name in self.database._declared]


@pytest.fixture
async def house(tmp_path):
    stage = stage_of()
    crawl = stage.load_crawl()
    more = {"STUDIO_AUTH__ADMINS": '["admin@example.org"]'}
    async with serving(tmp_path, **more) as nobody, ClientSession() as session:
        api = crawl.Api(session, nobody._base, (await nobody.get("/api/openapi.json")).json)
        admin = await nobody.sign_in("admin@example.org")
        rights = (await admin.get("/api/rbac/permissions")).json["items"]
        platform = frozenset(right["name"] for right in rights if right["scope"] == "platform")
        boss = crawl.Owner("admin@example.org", admin.tokens["accessToken"])
        owner = await stage.seed(crawl, nobody, "ann@example.org", stage.STORY.replace(stage.MARK, "Rain"))
        await api.explore(owner, boss, platform)
        yield House(api, owner, boss, platform, nobody.studio.services.database)


async def test_fields_of_tomorrow_break_nothing_and_do_not_leave(house):
    changed = 0
    for collection in house.collections():
        changed += await collection.update({}, {"$set": FOREIGN}, many=True)
    assert changed > 50, "the stage is nearly empty"
    reads, said = await house.broken("GET")
    assert reads == []
    assert "zq7canary" not in said
    writes, said = await house.broken("POST", "PUT", "PATCH")
    assert writes == []
    assert "zq7canary" not in said
