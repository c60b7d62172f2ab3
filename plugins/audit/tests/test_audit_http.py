from __future__ import annotations

import asyncio

import pytest

from studio import Actor, DatabaseUnavailableError, new_id
from studio_audit.api import audit, differences

pytestmark = pytest.mark.http
PROJECTS = "/api/workbench/projects"


@pytest.fixture
async def admin(server):
    users, address = server.studio.services.database["users"], f"{new_id().lower()}@example.org"
    await server.sign_in(address)
    await users.update({"email": address}, {"$set": {"platform_role": "admin"}})
    return await server.sign_in(address)


@pytest.fixture
def ctx(server):
    return server.studio.loader.records["audit"].ctx


async def entries(admin, **query):
    wanted = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await admin.get(f"/api/audit?{wanted}")
    assert answer.status == 200, answer
    return answer.json["items"]


async def test_change_has_actor_before_after_and_the_answers_request_id(client, admin):
    project = (await client.post(PROJECTS, {"name": "Rain"})).json
    answer = await client.patch(f"{PROJECTS}/{project['id']}", {"name": "Snow", "fps": 24})
    (entry,) = await entries(admin, targetId=project["id"])
    assert (entry["before"], entry["after"]) == ({"name": "Rain"}, {"name": "Snow"})
    assert entry["requestId"] == answer.headers["X-Request-Id"] != ""
    assert entry["actor"]["id"] == client.user["id"]
    assert (entry["actor"]["kind"], entry["action"]) == ("user", "project.updated")
    assert entry["projectId"] == project["id"]


async def test_sixty_requests_at_once_do_not_take_each_others_ids(client, admin):
    made = await asyncio.gather(*(client.post(PROJECTS, {"name": f"Film {n}"}) for n in range(60)))
    changed = await asyncio.gather(*(client.delete(f"{PROJECTS}/{one.json['id']}") for one in made))
    for one, answer in zip(made, changed, strict=True):
        (entry,) = await entries(admin, targetId=one.json["id"])
        assert entry["requestId"] == answer.headers["X-Request-Id"]


async def test_refused_change_leaves_no_entry(client, server, admin):
    project = (await client.post(PROJECTS, {"name": "Rain"})).json
    other = await server.sign_in(f"{new_id().lower()}@example.org")
    await other.patch(f"{PROJECTS}/{project['id']}", {"name": "Mine"})
    await client.patch(f"{PROJECTS}/{project['id']}", {"name": "Late", "rev": 9})
    assert await entries(admin, projectId=project["id"]) == []


async def test_life_of_a_session_and_a_key_is_told_without_their_secrets(server, admin):
    maya = await server.sign_in(f"{new_id().lower()}@example.org")
    key = (await maya.post("/api/auth/api-keys", {"name": "CI", "scopes": ["signed_in"]})).json
    await maya.delete(f"/api/auth/api-keys/{key['id']}")
    await maya.patch("/api/auth/me", {"name": "Maya"})
    await maya.post("/api/auth/logout")
    told = await entries(admin, actorId=maya.user["id"])
    assert [entry["action"] for entry in reversed(told)] == [
        "account.created",
        "session.opened",
        "api_key.created",
        "api_key.revoked",
        "account.changed",
        "session.ended",
    ]
    for secret in (key["key"], key["key"][-43:], maya.tokens["accessToken"], maya.tokens["refreshToken"]):
        assert secret not in str(told)


async def test_reuse_of_a_refresh_token_is_an_entry_of_its_own(server, admin):
    maya = await server.sign_in(f"{new_id().lower()}@example.org")
    old = maya.tokens["refreshToken"]
    for _ in range(2):
        pair = await server.post("/api/auth/refresh", {"refreshToken": maya.tokens["refreshToken"]})
        maya.tokens = pair.json
    assert (await server.post("/api/auth/refresh", {"refreshToken": old})).status == 401
    (entry,) = await entries(admin, actorId=maya.user["id"], action="session.reused")
    assert entry["target"]["type"] == "session"


async def test_life_of_a_membership_is_told_to_the_projects_owner_only(server, client):
    project = (await client.post(PROJECTS, {"name": "Rain"})).json
    viewer = await server.sign_in(f"{new_id().lower()}@example.org")
    member = await viewer.join(client, project["id"])
    collaborators = f"/api/rbac/projects/{project['id']}/collaborators/{member['id']}"
    await client.patch(collaborators, {"roleKey": "artist"})
    path = f"/api/audit/projects/{project['id']}"
    assert (await viewer.get(path)).status == 403
    await client.delete(collaborators)
    assert (await viewer.get(path)).status == 404
    told = (await client.get(path)).json["items"]
    assert [entry["action"].partition(".")[2] for entry in reversed(told)] == [
        "invited",
        "added",
        "changed",
        "removed",
    ]
    changed = told[1]
    assert (changed["before"], changed["after"]) == ({"role_key": "viewer"}, {"role_key": "artist"})


async def test_log_of_the_platform_is_for_admins_and_is_never_written_to(client, server):
    assert (await server.get("/api/audit")).status == 401
    assert (await client.get("/api/audit")).status == 403
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await client.call(method, "/api/audit", {})).status == 405


async def test_list_is_paged_and_odd_questions_are_refused(client, admin, ctx):
    actor, target = Actor(new_id()), ("project", new_id())
    for _ in range(5):
        await audit(ctx, actor, "project.updated", target)
    path = f"/api/audit?targetId={target[1]}&limit=2"
    first = (await admin.get(path)).json
    second = (await admin.get(f"{path}&cursor={first['nextCursor']}")).json
    ids = [entry["id"] for entry in first["items"] + second["items"]]
    assert len(ids) == 4
    assert ids == sorted(ids, reverse=True)
    for query in ("action=$ne", "targetId[$ne]=", "actorId=", "limit=100000", "more=1"):
        assert (await admin.get(f"/api/audit?{query}")).status == 422, query


async def test_database_that_is_away_undoes_no_change_and_the_entry_is_logged(ctx, monkeypatch):
    from structlog.testing import capture_logs

    async def away(*_: object) -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr(type(ctx.database["audit_log"]), "insert", away)
    with capture_logs() as lines:
        await audit(ctx, Actor("ann"), "project.updated", ("project", "P"), after={"name": "Rain"})
    assert [line["event"] for line in lines] == ["audit", "audit_lost"]
    assert lines[1]["entry"]["after"] == {"name": "Rain"}


async def test_entry_outside_a_request_has_no_request_id_and_long_texts_are_cut(ctx, admin):
    target = new_id()
    await asyncio.get_running_loop().create_task(
        audit(ctx, Actor("ann"), "project.updated", ("project", target), before={"name": "x" * 9000})
    )
    (entry,) = await entries(admin, targetId=target)
    assert entry["requestId"] == ""
    assert len(entry["before"]["name"]) == 500


def test_only_what_differs_is_told():
    told = differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3, "d": 4}, ("a", "b", "d"))
    assert told == {"before": {"b": 2, "d": None}, "after": {"b": 3, "d": 4}}
