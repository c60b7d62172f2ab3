from __future__ import annotations

import pytest

from studio import ForbiddenError, NotFoundError, new_id

pytestmark = pytest.mark.http
RBAC = "/api/rbac"


async def test_permissions_of_every_plugin_are_listed(client):
    items = (await client.get(f"{RBAC}/permissions")).json["items"]
    registered = client.studio.services.permissions
    assert [item["name"] for item in items] == sorted(registered)
    scopes = {item["name"]: item["scope"] for item in items}
    assert (scopes["project:read"], scopes["platform:operate"]) == ("project", "platform")


async def test_roles_are_listed_with_what_they_hold(client):
    roles = {
        role["key"]: set(role["permissions"]) for role in (await client.get(f"{RBAC}/roles")).json["items"]
    }
    of_projects = {n for n, p in client.studio.services.permissions.items() if p.scope == "project"}
    assert roles["owner"] == of_projects
    assert roles["owner"] - roles["producer"] == {"project:delete"}
    assert roles["viewer"] <= roles["reviewer"] <= roles["artist"] < roles["producer"]
    assert {name for name in of_projects if name.endswith(":read")} == roles["viewer"]


async def test_own_permissions_in_a_project(client):
    project = (await client.post("/api/workbench/projects", {"name": "Rain"})).json["id"]
    mine = (await client.get(f"{RBAC}/projects/{project}/my-permissions")).json
    assert mine["role"] == "owner"
    assert "project:delete" in mine["permissions"]


async def test_check_answers_for_the_caller_only(server, client):
    project = (await client.post("/api/workbench/projects", {"name": "Rain"})).json["id"]
    other = await server.sign_in(f"{new_id().lower()}@example.org")
    body = {"permission": "project:write", "projectId": project}
    assert (await client.post(f"{RBAC}/check", body)).json == {"allowed": True}
    assert (await other.post(f"{RBAC}/check", body)).json == {"allowed": False}
    nothing = body | {"projectId": new_id()}
    assert (await other.post(f"{RBAC}/check", nothing)).json == {"allowed": False}
    assert (await other.post(f"{RBAC}/check", body | {"userId": client.user["id"]})).status == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"permission": {"$ne": None}},
        {"permission": ""},
        {"permission": "x" * 101},
        {"permission": "project:read", "projectId": {"$gt": ""}},
        {"permission": "project:read", "projectId": "x" * 65},
        {"permission": "project:read", "role": "owner"},
        {"permission": "project:read", "platformRole": "admin"},
    ],
    ids=str,
)
async def test_check_of_the_wrong_shape_is_refused(client, body):
    assert (await client.post(f"{RBAC}/check", body)).status == 422


async def test_platform_right_needs_an_admin(server, client, monkeypatch):
    check = {"permission": "platform:operate"}
    assert (await client.post(f"{RBAC}/check", check)).json == {"allowed": False}
    users = server.studio.services.database["users"]
    await users.update(client.user["id"], {"$set": {"platform_role": "admin"}})
    again = await server.sign_in(client.user["email"])
    assert (await again.post(f"{RBAC}/check", check)).json == {"allowed": True}


async def test_platform_routes_refuse_users_and_let_admins_in(server, client):
    guarded = [
        (name, route)
        for name, declared in server.studio.registry.plugins.items()
        for route in declared.routes
        if getattr(server.studio.services.permissions.get(route.permission), "scope", "") == "platform"
    ]
    document = (await server.get("/api/openapi.json")).json["paths"]

    def is_bare(path):  # a query that is needed and not there would be refused first
        return not any(p.get("required") for p in document[path]["get"]["parameters"])

    paths = [route.path for _, route in guarded if route.method == "GET" and is_bare(route.path)]
    assert paths, "no route needs a platform right: nothing is shown here"
    for path in paths:
        assert (await server.get(path)).status == 401, path
        answer = await client.get(path)
        assert (answer.status, answer.json["code"]) == (403, "forbidden"), path


async def test_kernel_asks_this_owner(server, client):
    auth = server.studio.services.auth
    from studio import Actor

    project = (await client.post("/api/workbench/projects", {"name": "Rain"})).json["id"]
    await auth.require(Actor(client.user["id"]), "project:delete", project)
    with pytest.raises(NotFoundError):
        await auth.require(Actor("stranger"), "project:read", project)
    with pytest.raises(ForbiddenError):
        await auth.require(Actor(client.user["id"]), "platform:operate")


async def test_strangers_see_no_roles(server):
    calls = [("GET", "/permissions"), ("GET", "/roles"), ("POST", "/check")]
    assert [(await server.call(method, RBAC + path)).status for method, path in calls] == [401] * 3
