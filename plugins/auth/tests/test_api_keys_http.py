from __future__ import annotations

import pytest

pytestmark = pytest.mark.http
KEYS, PROJECTS = "/api/auth/api-keys", "/api/workbench/projects"


async def make(client, *scopes: str) -> dict:
    answer = await client.post(KEYS, {"name": "CI", "scopes": list(scopes)})
    assert answer.status == 201, answer
    return answer.json


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_key_is_shown_once_and_listed_without_its_secret(client):
    made = await make(client, "project:read")
    listed = (await client.get(KEYS)).json["items"]
    assert [item["id"] for item in listed] == [made["id"]]
    assert made.keys() - listed[0].keys() == {"key"}
    assert "hash" not in listed[0]


async def test_answer_with_the_key_is_not_stored(client):
    sent = {"headers": {"Idempotency-Key": "same"}}
    first, second = [
        (await client.post(KEYS, {"name": "CI", "scopes": ["project:read"]}, **sent)).json for _ in range(2)
    ]
    assert first["key"] != second["key"]


async def test_scopes_narrow_what_the_owner_may(server, client):
    project = (await client.post(PROJECTS, {"name": "Film"})).json["id"]
    headers = bearer((await make(client, "project:read"))["key"])
    assert (await server.get(f"{PROJECTS}/{project}", headers=headers)).status == 200
    refused = await server.patch(f"{PROJECTS}/{project}", {"name": "X"}, headers=headers)
    assert (refused.status, refused.json["code"]) == (403, "scope_missing")
    assert (await server.get(PROJECTS, headers=headers)).status == 403, "listing is signed_in"
    signed_in = bearer((await make(client, "signed_in"))["key"])
    assert (await server.get(PROJECTS, headers=signed_in)).status == 200
    assert (await server.get(f"{PROJECTS}/{project}", headers=signed_in)).status == 403


async def test_key_opens_no_project_of_others(server, client):
    stranger = await server.sign_in(f"stranger-{client.user['id'].lower()}@example.org")
    project = (await client.post(PROJECTS, {"name": "Film"})).json["id"]
    key = await make(stranger, "project:read", "project:delete")
    assert (await server.get(f"{PROJECTS}/{project}", headers=bearer(key["key"]))).status == 404


async def test_key_decides_nothing_about_sign_ins_and_keys(server, client):
    made = await make(client, "signed_in")
    other = await make(client, "signed_in")
    headers = bearer(made["key"])
    assert (await server.get("/api/auth/me", headers=headers)).status == 200
    session = (await client.get("/api/auth/sessions")).json["items"][0]["id"]
    more = {"name": "more", "scopes": ["signed_in", "project:delete"]}
    calls = [
        ("POST", KEYS, more),
        ("GET", KEYS, None),
        ("DELETE", f"{KEYS}/{other['id']}", None),
        ("GET", "/api/auth/sessions", None),
        ("DELETE", f"/api/auth/sessions/{session}", None),
        ("POST", "/api/auth/logout", None),
        ("POST", "/api/auth/logout-all", None),
        ("PATCH", "/api/auth/me", {"name": "X"}),
    ]
    answers = [await server.call(method, path, body, headers=headers) for method, path, body in calls]
    assert [(a.status, a.json["code"]) for a in answers] == [(403, "api_key_refused")] * len(calls)
    assert (await client.get("/api/auth/me")).status == 200


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_no_route_changes_a_key(server, client, method):
    made = await make(client, "project:read")
    for headers in (bearer(made["key"]), client.headers):
        answer = await server.call(method, f"{KEYS}/{made['id']}", {"scopes": ["*"]}, headers=headers)
        assert answer.status == 405
    assert (await client.get(KEYS)).json["items"][0]["scopes"] == ["project:read"]


async def test_revoked_key_is_401_at_once(server, client):
    made = await make(client, "signed_in")
    assert (await server.get("/api/auth/me", headers=bearer(made["key"]))).status == 200
    assert (await client.delete(f"{KEYS}/{made['id']}")).status == 204
    assert (await server.get("/api/auth/me", headers=bearer(made["key"]))).status == 401
    assert (await client.delete(f"{KEYS}/{made['id']}")).status == 404
    assert (await client.get(KEYS)).json["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []},
        {"name": "x"},
        {"name": "", "scopes": ["project:read"]},
        {"name": "a\r\nb", "scopes": ["project:read"]},
        {"name": "x", "scopes": "project:read"},
        {"name": "x", "scopes": [{"$ne": 1}]},
        {"name": "x", "scopes": ["*"]},
        {"name": "x", "scopes": ["project:read"], "expiresInDays": 0},
        {"name": "x", "scopes": ["project:read"], "expiresInDays": None},
        {"name": "x", "scopes": ["project:read"], "userId": "someone"},
        {"name": "x", "scopes": ["project:read"], "hash": "x"},
    ],
    ids=str,
)
async def test_key_of_the_wrong_shape_is_422(client, body):
    assert (await client.post(KEYS, body)).status == 422


async def test_platform_scope_is_403_for_users(client):
    answer = await client.post(KEYS, {"name": "x", "scopes": ["platform:operate"]})
    assert answer.status == 403
