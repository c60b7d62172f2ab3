from __future__ import annotations

import asyncio

import pytest

from studio import new_id

pytestmark = pytest.mark.http
ROLES = ["producer", "artist", "reviewer", "viewer"]


async def logged(cast, action: str) -> list[dict]:
    services = cast.owner.studio.services
    await services.activity.flush()
    return await services.database["projectActivities"].find(
        {"project_id": cast.project["id"], "action": action}, sort=[("_id", 1)]
    )


async def test_members_are_listed_with_their_roles(shared):
    answer = await shared.viewer.get(shared.collaborators)
    assert [member["roleKey"] for member in answer.json["items"]] == ["owner", *ROLES]
    first = (await shared.viewer.get(f"{shared.collaborators}?limit=2")).json
    rest = (await shared.viewer.get(f"{shared.collaborators}?cursor={first['nextCursor']}")).json
    assert [m["roleKey"] for m in first["items"] + rest["items"]] == ["owner", *ROLES]


@pytest.mark.parametrize(
    "role", ["owner", "admin", "root", "", None, {"$ne": None}, ["viewer"], "viewer\n"], ids=str
)
async def test_role_that_cannot_be_given_is_refused(shared, role):
    body = {"email": shared.stranger.user["email"], "roleKey": role}
    assert (await shared.owner.post(shared.collaborators, body)).status == 422
    path = f"{shared.collaborators}/{shared.members['viewer']}"
    assert (await shared.owner.patch(path, {"roleKey": role})).status == 422


async def test_producer_cannot_become_owner(shared):
    path = f"{shared.collaborators}/{shared.members['producer']}"
    assert (await shared.producer.patch(path, {"roleKey": "owner"})).status == 422
    assert (await shared.producer.delete(shared.path)).status == 403


@pytest.mark.parametrize(
    "field", ["userId", "user_id", "projectId", "state", "_id", "id", "role", "ownerId", "$set"]
)
async def test_nobody_chooses_the_rest_of_a_membership(shared, field):
    body = {"email": shared.stranger.user["email"], "roleKey": "viewer", field: "x"}
    assert (await shared.owner.post(shared.collaborators, body)).status == 422
    path = f"{shared.collaborators}/{shared.members['viewer']}"
    assert (await shared.owner.patch(path, {"roleKey": "viewer", field: "x"})).status == 422


@pytest.mark.parametrize(
    "email", [{"$ne": None}, "nobody", "a@example.org\r\nBcc: b@example.org", None, ["x"]], ids=str
)
async def test_address_that_is_none_is_refused(shared, email):
    assert (await shared.owner.post(shared.collaborators, {"email": email})).status == 422


async def test_address_that_never_signed_in_is_told_what_to_do(shared):
    answer = await shared.owner.post(shared.collaborators, {"email": f"{new_id().lower()}@example.org"})
    assert (answer.status, answer.json["code"]) == (422, "user_unknown")
    assert "sign in once" in answer.json["detail"]


async def test_added_member_sees_the_project_at_once(cast):
    assert (await cast.stranger.get(cast.path)).status == 404
    body = {"email": cast.stranger.user["email"].upper(), "roleKey": "artist"}
    added = await cast.owner.post(cast.collaborators, body)
    assert (added.status, added.json["roleKey"], added.json["state"]) == (201, "artist", "active")
    assert (await cast.stranger.get(cast.path)).status == 200


async def test_member_cannot_be_added_twice_nor_the_owner(cast):
    for client in (cast.viewer, cast.owner):
        body = {"email": client.user["email"], "roleKey": "artist"}
        answer = await cast.owner.post(cast.collaborators, body)
        assert (answer.status, answer.json["code"]) == (409, "collaborator_exists")
    listed = (await cast.owner.get(cast.collaborators)).json["items"]
    assert [member["roleKey"] for member in listed] == ["owner", *ROLES]


async def test_of_50_parallel_invitations_one_counts(cast):
    body = {"email": cast.stranger.user["email"], "roleKey": "viewer"}
    answers = await asyncio.gather(*(cast.owner.post(cast.collaborators, body) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 49
    assert len((await cast.owner.get(cast.collaborators)).json["items"]) == 6
    added = await logged(cast, "collaborator.added")
    assert [a["params"]["email"] for a in added].count(cast.stranger.user["email"]) == 1


async def test_removed_member_is_out_at_once(cast, monkeypatch):
    cut = []

    async def disconnect(user_id, session_id=None):
        cut.append((user_id, session_id))

    monkeypatch.setattr(cast.owner.studio.services.realtime, "disconnect", disconnect)
    assert (await cast.artist.get(cast.path)).status == 200
    path = f"{cast.collaborators}/{cast.members['artist']}"
    assert (await cast.owner.delete(path)).status == 204
    assert (await cast.artist.get(cast.path)).status == 404
    assert (await cast.artist.get("/api/workbench/projects")).json["items"] == []
    assert (await cast.owner.delete(path)).status == 404
    assert cut == [(cast.artist.user["id"], None)], "open sockets are closed, all of them"


async def test_right_read_before_the_removal_is_not_remembered_after_it(cast):
    path = f"{cast.collaborators}/{cast.members['viewer']}"
    await asyncio.gather(*(cast.viewer.get(cast.path) for _ in range(20)), cast.owner.delete(path))
    assert (await cast.viewer.get(cast.path)).status == 404


async def test_removed_member_can_come_back_in_another_role(cast):
    path = f"{cast.collaborators}/{cast.members['producer']}"
    assert (await cast.owner.delete(path)).status == 204
    body = {"email": cast.producer.user["email"], "roleKey": "viewer"}
    back = await cast.owner.post(cast.collaborators, body)
    assert (back.status, back.json["id"]) == (201, cast.members["producer"])
    assert (await cast.producer.patch(cast.path, {"name": "X"})).status == 403


async def test_lost_role_is_gone_at_once(cast):
    assert (await cast.producer.patch(cast.path, {"name": "Snow"})).status == 200
    path = f"{cast.collaborators}/{cast.members['producer']}"
    assert (await cast.owner.patch(path, {"roleKey": "viewer"})).json["roleKey"] == "viewer"
    assert (await cast.producer.patch(cast.path, {"name": "Hail"})).status == 403


async def test_owner_is_neither_removed_nor_demoted_by_anybody(shared):
    path = f"{shared.collaborators}/{shared.members['owner']}"
    for client in (shared.owner, shared.producer):
        answers = [await client.delete(path), await client.patch(path, {"roleKey": "viewer"})]
        assert [(a.status, a.json["code"]) for a in answers] == [(409, "owner_stays")] * 2
    assert (await shared.owner.get(f"{shared.path}")).status == 200


async def test_member_of_another_project_is_not_reached_through_this_one(server, cast, shared):
    for role in ("viewer", "owner"):
        path = f"{cast.collaborators}/{shared.members[role]}"
        assert (await cast.owner.delete(path)).status == 404
        assert (await cast.owner.patch(path, {"roleKey": "viewer"})).status == 404
    assert (await shared.viewer.get(shared.path)).status == 200


@pytest.mark.parametrize("name", ["nope", "%00", '{"$ne":null}', "..%2F..", "[$ne]"])
async def test_odd_member_id_is_not_found(shared, name):
    path = f"{shared.collaborators}/{name}"
    assert (await shared.owner.delete(path)).status == 404
    assert (await shared.owner.patch(path, {"roleKey": "viewer"})).status == 404


async def test_removed_members_do_not_fill_the_project(cast, monkeypatch):
    monkeypatch.setattr("studio_projects.service.MAX_COLLABORATORS", 5)
    body = {"email": cast.stranger.user["email"]}
    assert (await cast.owner.post(cast.collaborators, body)).status == 409
    await cast.owner.delete(f"{cast.collaborators}/{cast.members['viewer']}")
    assert (await cast.owner.post(cast.collaborators, body)).status == 201


async def test_life_of_a_membership_is_logged(cast):
    path = f"{cast.collaborators}/{cast.members['viewer']}"
    await cast.producer.patch(path, {"roleKey": "artist"})
    await cast.owner.delete(path)
    email = cast.viewer.user["email"]
    added, changed, removed = [
        await logged(cast, f"collaborator.{what}") for what in ("added", "changed", "removed")
    ]
    assert [a["params"]["role"] for a in added] == ROLES
    assert [(a["params"], a["actor"]["id"]) for a in changed] == [
        ({"email": email, "role": "artist"}, cast.producer.user["id"])
    ]
    assert [a["params"] for a in removed] == [{"email": email}]
