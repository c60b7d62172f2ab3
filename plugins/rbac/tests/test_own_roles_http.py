from __future__ import annotations

import asyncio

import pytest

from studio import new_id

pytestmark = pytest.mark.http
ROLES, PROJECTS = "/api/rbac/roles", "/api/workbench/projects"
CHECK = "/api/rbac/check"


@pytest.fixture
async def project(client):
    return (await client.post(PROJECTS, {"name": "Rain"})).json["id"]


@pytest.fixture
async def somebody(server):
    async def come(inviter=None, project=None, role="viewer"):
        person = await server.sign_in(f"{new_id().lower()}@example.org")
        if inviter:
            await person.join(inviter, project, role)
        return person

    return come


def role(project, key="colourist", permissions=("asset:read", "asset:write"), **more):
    return {"projectId": project, "key": key, "title": "Colourist", "permissions": list(permissions), **more}


async def make(client, project, *args, **more):
    answer = await client.post(ROLES, role(project, *args, **more))
    assert answer.status == 201, answer
    return answer.json


async def may(client, project, permission):
    return (await client.post(CHECK, {"permission": permission, "projectId": project})).json["allowed"]


async def test_own_role_is_listed_beside_the_built_in_ones_and_sees_the_project(client, project):
    made = await make(client, project)
    assert (made["builtin"], made["rev"], made["projectId"]) == (False, 1, project)
    assert made["permissions"] == ["asset:read", "asset:write", "project:read"]
    listed = (await client.get(f"{ROLES}?projectId={project}")).json["items"]
    assert [one["key"] for one in listed][-2:] == ["owner", "colourist"]
    assert "colourist" not in [one["key"] for one in (await client.get(ROLES)).json["items"]]


async def test_member_with_it_may_what_it_holds_and_no_more(client, somebody, project):
    await make(client, project)
    person = await somebody(client, project, "colourist")
    rights = ("project:read", "asset:write", "story:read", "story:write", "project:delete")
    assert [await may(person, project, right) for right in rights] == [True, True, False, False, False]
    assert (await person.get(f"{PROJECTS}/{project}")).status == 200
    assert (await person.patch(f"{PROJECTS}/{project}", {"name": "Mine"})).status == 403
    mine = (await person.get(f"/api/rbac/projects/{project}/my-permissions")).json
    assert mine == {"role": "colourist", "permissions": ["asset:read", "asset:write", "project:read"]}


async def test_change_of_a_role_bites_at_once(client, somebody, project):
    made = await make(client, project)
    person = await somebody(client, project, "colourist")
    assert await may(person, project, "asset:write")
    changed = await client.patch(f"{ROLES}/{made['id']}", {"permissions": ["story:read"], "rev": 1})
    assert (changed.status, changed.json["rev"]) == (200, 2)
    assert [await may(person, project, right) for right in ("asset:write", "story:read")] == [False, True]
    stale = await client.patch(f"{ROLES}/{made['id']}", {"title": "Late", "rev": 1})
    assert (stale.status, stale.json["code"]) == (409, "stale_revision")


async def test_role_in_use_stays_until_nobody_has_it(client, somebody, project):
    made = await make(client, project)
    person = await somebody(client, project, "colourist")
    refused = await client.delete(f"{ROLES}/{made['id']}")
    assert (refused.status, refused.json["code"]) == (409, "role_in_use")
    await person.post(f"/api/rbac/projects/{project}/leave")
    assert (await client.delete(f"{ROLES}/{made['id']}")).status == 204
    assert (await client.delete(f"{ROLES}/{made['id']}")).status == 404
    again = {"email": "new@example.org", "roleKey": "colourist"}
    answer = await client.post(f"/api/rbac/projects/{project}/collaborators", again)
    assert (answer.status, answer.json["code"]) == (422, "role_unknown")


async def test_role_that_vanished_under_a_member_holds_nothing(client, server, somebody, project):
    made = await make(client, project)
    person = await somebody(client, project, "colourist")
    await server.studio.services.database["roles"].delete(made["id"])
    await make(client, project, "other")  # which forgets what was believed of this project
    assert [await may(person, project, right) for right in ("project:read", "asset:write")] == [False] * 2


async def test_nobody_makes_changes_or_removes_a_role_above_their_own(client, somebody, project):
    producer = await somebody(client, project, "producer")
    above = await make(client, project, "heir", ("project:delete",))
    answers = [
        await producer.post(ROLES, role(project, "mine", ("project:delete",))),
        await producer.patch(f"{ROLES}/{above['id']}", {"title": "Mine"}),
        await producer.patch(f"{ROLES}/{above['id']}", {"permissions": []}),
        await producer.delete(f"{ROLES}/{above['id']}"),
    ]
    assert [(a.status, a.json["code"]) for a in answers] == [(403, "role_above_own")] * 4
    made = await make(producer, project, "helper", ("project:invite",))
    up = await producer.patch(f"{ROLES}/{made['id']}", {"permissions": ["project:delete"]})
    assert up.json["code"] == "role_above_own"


async def test_who_holds_it_cannot_raise_it(client, somebody, project):
    made = await make(client, project, "keeper", ("project:roles", "project:invite"))
    keeper = await somebody(client, project, "keeper")
    up = await keeper.patch(f"{ROLES}/{made['id']}", {"permissions": ["project:roles", "story:write"]})
    assert (up.status, up.json["code"]) == (403, "role_above_own")
    invite = {"email": "friend@example.org", "roleKey": "artist"}
    path = f"/api/rbac/projects/{project}/collaborators"
    assert (await keeper.post(path, invite)).json["code"] == "role_above_own"


async def test_key_with_scopes_makes_no_role_beyond_them(client, project, server):
    body = {"name": "CI", "scopes": ["project:roles", "project:read", "story:read"]}
    key = (await client.post("/api/auth/api-keys", body)).json["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    above = await server.post(ROLES, role(project, "above", ("story:write",)), headers=bearer)
    within = await server.post(ROLES, role(project, "within", ("story:read",)), headers=bearer)
    assert [above.status, within.status] == [403, 201]


async def test_strangers_and_viewers_change_nothing(client, somebody, project):
    made = await make(client, project)
    viewer, stranger = await somebody(client, project), await somebody()
    for person, status in ((viewer, 403), (stranger, 404)):
        calls = [
            await person.post(ROLES, role(project, "mine")),
            await person.patch(f"{ROLES}/{made['id']}", {"title": "Mine"}),
            await person.delete(f"{ROLES}/{made['id']}"),
        ]
        assert [answer.status for answer in calls] == [status] * 3
    assert (await stranger.get(f"{ROLES}?projectId={project}")).status == 404
    assert (await viewer.get(f"{ROLES}?projectId={project}")).status == 200


async def test_role_of_one_project_is_none_in_another(client, somebody, project):
    await make(client, project)
    other = (await client.post(PROJECTS, {"name": "Snow"})).json["id"]
    invite = {"email": "friend@example.org", "roleKey": "colourist"}
    answer = await client.post(f"/api/rbac/projects/{other}/collaborators", invite)
    assert answer.json["code"] == "role_unknown"


@pytest.mark.parametrize("key", ["owner", "viewer", "producer"])
async def test_built_in_key_is_taken(client, project, key):
    answer = await client.post(ROLES, role(project, key))
    assert (answer.status, answer.json["code"]) == (409, "role_exists")


async def test_of_parallel_roles_of_one_key_one_is_made(client, project):
    answers = await asyncio.gather(*(client.post(ROLES, role(project)) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19


async def test_number_of_roles_is_bounded(client, project, monkeypatch):
    monkeypatch.setattr("studio_rbac.own.MAX_ROLES", 2)
    statuses = [(await client.post(ROLES, role(project, f"r{n}"))).status for n in range(3)]
    assert statuses == [201, 201, 409]


async def test_write_sent_again_makes_one_role(client, project):
    headers = {"Idempotency-Key": new_id()}
    first, second = [await client.post(ROLES, role(project), headers=headers) for _ in range(2)]
    assert first.json == second.json


@pytest.mark.parametrize(
    "change",
    [
        {"key": "Owner"},
        {"key": ""},
        {"key": {"$ne": None}},
        {"title": ""},
        {"title": "a\u202eb"},
        {"permissions": ["no:such"]},
        {"permissions": ["platform:operate"]},
        {"permissions": ["signed_in"]},
        {"permissions": "asset:read"},
        {"permissions": [{"$ne": None}]},
        {"permissions": ["asset:read"] * 201},
        {"builtin": True},
        {"rev": 1},
        {"projectId": {"$gt": ""}},
    ],
    ids=str,
)
async def test_role_of_the_wrong_shape_is_refused(client, project, change):
    assert (await client.post(ROLES, role(project) | change)).status == 422


async def test_unknown_permission_is_named_with_what_to_do(client, project):
    answer = await client.post(ROLES, role(project, permissions=("aset:read",)))
    assert answer.json["errors"] == [
        {
            "pointer": "/permissions",
            "message": "aset:read is no permission in a project, did you mean asset:read?",
        }
    ]


async def test_life_of_a_role_is_told_with_before_and_after(client, project):
    made = await make(client, project)
    await client.patch(f"{ROLES}/{made['id']}", {"title": "Grader"})
    await client.delete(f"{ROLES}/{made['id']}")
    told = (await client.get(f"/api/audit/projects/{project}")).json["items"]
    assert [entry["action"] for entry in reversed(told)] == ["role.created", "role.changed", "role.deleted"]
    assert (told[1]["before"], told[1]["after"]) == ({"title": "Colourist"}, {"title": "Grader"})
    await client.studio.services.activity.flush()
    feed = (await client.get(f"{PROJECTS}/{project}/activities")).json["items"]
    assert [one["text"] for one in feed if one["action"].startswith("role.")] == [
        "removed the role Grader",
        "changed the role Grader",
        "made the role Colourist",
    ]
