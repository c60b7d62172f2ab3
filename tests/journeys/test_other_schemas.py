"""Documents of another version: every route answers, or says which document lacks what.

A whole Studio in memory is filled over HTTP, its documents get fields that this version does not know, or lose one
that it does, and the operations of its OpenAPI document are called with the ids of what is there.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bson
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
                if operation.permission == "project:read":
                    yield call, replace(self.owner, token=self.owner.key)

    async def broken(self, *methods):
        """Return the operations that answer 500, and all that was said."""
        found, said = [], []
        for call, who in self.calls(*methods):
            answer = await self.api.send(call, who.token)
            said.append(answer.text)
            if answer.status == 500:
                found.append(str(call.operation))
        return found, "".join(said)

    async def spend(self):
        """Give the project a budget, and the operators something to look into."""
        limit = next(o for o in self.api.operations if o.method == "PUT" and o.path.endswith("/budget"))
        call = replace(self.api.build(limit, self.owner), body={"limitUusd": 1_000_000})
        assert (await self.api.send(call, self.owner.token)).good
        told = {"job_id": "j", "attempt": 1, "reason": "no_price", "held_uusd": 1, "at": 1, "open": True}
        about = {"project_id": self.owner.names["project_id"], "provider": "local", "note": ""}
        await self.database["usage_flags"].insert({**told, **about})

    def collections(self):
        return [self.database[name] for name in self.database._declared]

    async def readers(self):
        """Return the calls that only look, by the collection that they read."""
        touched, found = set(), defaultdict(list)
        for name in self.database._declared:
            repository = self.database[name]
            for read in ("get", "find", "find_and_update"):  # the others are made of these
                setattr(repository, read, noting(getattr(repository, read), name, touched))
        for call, who in self.calls("GET"):
            touched.clear()
            assert (await self.api.send(call, who.token)).status < 500
            for name in touched:
                found[name].append((call, who))
        return found

    def fields(self):
        """Return every (collection, field) of what is stored, but the `_id`s."""
        return sorted(
            {
                (name, field)
                for name in self.database._declared
                for raw in self.database[name]._raw.values()
                for field in bson.decode(raw).keys() - {"_id"}
            }
        )

    @contextmanager
    def without(self, name, field):
        """Take a field away from every document of a collection, past its unique indexes, and give it back."""
        repository = self.database[name]
        raws, parsed = dict(repository._raw), dict(repository._parsed)
        for document_id, document in parsed.items():
            older = {key: value for key, value in document.items() if key != field}
            repository._raw[document_id], repository._parsed[document_id] = bson.encode(older), older
        yield
        repository._raw.update(raws)
        repository._parsed.update(parsed)


def noting(read, name, touched):
    async def noted(*args, **kwargs):
        touched.add(name)
        return await read(*args, **kwargs)

    return noted


@pytest.fixture
async def house(tmp_path, monkeypatch):
    monkeypatch.setattr("studio_rbac.service.MEMORY_S", -1)  # nothing is answered from what was read before
    monkeypatch.setattr("studio_auth.memory.BELIEVED_S", -1)
    stage = stage_of()
    crawl = stage.load_crawl()
    more = {"STUDIO_AUTH__ADMINS": '["admin@example.org"]', "STUDIO_OWNERS__COST": "usage"}
    async with serving(tmp_path, **more) as nobody, ClientSession() as session:
        api = crawl.Api(session, nobody._base, (await nobody.get("/api/openapi.json")).json)
        admin = await nobody.sign_in("admin@example.org")
        rights = (await admin.get("/api/rbac/permissions")).json["items"]
        platform = frozenset(right["name"] for right in rights if right["scope"] == "platform")
        boss = crawl.Owner("admin@example.org", admin.tokens["accessToken"])
        owner = await stage.seed(crawl, nobody, "ann@example.org", stage.STORY.replace(stage.MARK, "Rain"))
        await api.explore(owner, boss, platform)
        house = House(api, owner, boss, platform, nobody.studio.services.database)
        await house.spend()
        yield house


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


async def test_document_without_a_field_is_read_or_reported(house):
    readers, pairs = await house.readers(), house.fields()
    broken, reported, wrong = set(), set(), []
    for name, field in pairs:
        with house.without(name, field):
            for call, who in readers[name]:
                answer = await house.api.send(call, who.token)
                if answer.status >= 500:
                    broken.add((name, field, str(call.operation)))
                if answer.code == "outdated_document":
                    reported.add((name, field))
                    told = json.loads(answer.text)
                    wrong += [told] if (told["collection"], told["field"]) != (name, field) else []
    assert len(pairs) > 400, "the stage is nearly empty"
    assert broken == set(), "give these fields a default in their Collection, or `...`"
    assert wrong == []
    assert {("scenes", "order"), ("stories", "version"), ("assets", "blob")} <= reported
    assert not {pair for pair in reported if pair[1] in ("title", "description", "lines", "tags")}


async def test_defaults_are_of_fields_that_are_written(house):
    stored = defaultdict(set)
    for name, field in house.fields():
        stored[name].add(field)
    declared = {
        name: collection.defaults.keys() for name, (_, collection) in house.database._declared.items()
    }
    unknown = {name: declared[name] - stored[name] for name in stored if declared[name] - stored[name]}
    assert unknown == {}, "nobody writes these: are they spelt as the service spells them?"
