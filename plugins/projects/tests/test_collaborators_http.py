from __future__ import annotations

import asyncio

import pytest

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
    "role", ["admin", "root", "", None, {"$ne": None}, ["viewer"], "viewer\n", "Owner", "$owner"], ids=str
)
async def test_role_that_is_none_is_refused(shared, role):
    body = {"email": shared.stranger.user["email"], "roleKey": role}
    assert (await shared.owner.post(shared.collaborators, body)).status == 422
    path = f"{shared.collaborators}/{shared.members['viewer']}"
    assert (await shared.owner.patch(path, {"roleKey": role})).status == 422


async def test_nobody_gives_more_than_they_hold(shared):
    body = {"email": shared.stranger.user["email"], "roleKey": "owner"}
    answers = [await shared.producer.post(shared.collaborators, body)]
    for member in ("producer", "viewer"):
        path = f"{shared.collaborators}/{shared.members[member]}"
        answers.append(await shared.producer.patch(path, {"roleKey": "owner"}))
    assert [(a.status, a.json["code"]) for a in answers] == [(403, "role_above_own")] * 3
    assert (await shared.producer.delete(shared.path)).status == 403


async def test_nobody_takes_from_those_above_them(shared):
    path = f"{shared.collaborators}/{shared.members['owner']}"
    answers = [await shared.producer.delete(path), await shared.producer.patch(path, {"roleKey": "viewer"})]
    assert [(a.status, a.json["code"]) for a in answers] == [(403, "role_above_own")] * 2


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
    back = await cast.producer.join(cast.owner, cast.project["id"], "viewer")
    assert back["id"] == cast.members["producer"]
    assert (await cast.producer.patch(cast.path, {"name": "X"})).status == 403


async def test_lost_role_is_gone_at_once(cast):
    assert (await cast.producer.patch(cast.path, {"name": "Snow"})).status == 200
    path = f"{cast.collaborators}/{cast.members['producer']}"
    assert (await cast.owner.patch(path, {"roleKey": "viewer"})).json["roleKey"] == "viewer"
    assert (await cast.producer.patch(cast.path, {"name": "Hail"})).status == 403


async def test_everybody_may_leave_and_only_themselves(cast):
    assert (await cast.viewer.delete(f"{cast.collaborators}/{cast.members['artist']}")).status == 403
    assert [(await cast.viewer.post(cast.leave)).status for _ in range(2)] == [204, 404]
    assert (await cast.stranger.post(cast.leave)).status == 404
    assert (await cast.viewer.get(cast.path)).status == 404
    assert (await cast.artist.get(cast.path)).status == 200
    assert [a["actor"]["id"] for a in await logged(cast, "collaborator.left")] == [cast.viewer.user["id"]]


async def test_last_owner_stays_one(cast):
    path = f"{cast.collaborators}/{cast.members['owner']}"
    answers = [await cast.owner.delete(path), await cast.owner.patch(path, {"roleKey": "viewer"})]
    answers.append(await cast.owner.post(cast.leave))
    assert [(a.status, a.json["code"]) for a in answers] == [(409, "last_owner")] * 3
    assert (await cast.owner.delete(cast.path)).status == 204


async def test_project_is_handed_over(cast):
    successor = f"{cast.collaborators}/{cast.members['producer']}"
    assert (await cast.owner.patch(successor, {"roleKey": "owner"})).json["roleKey"] == "owner"
    assert (await cast.owner.post(cast.leave)).status == 204
    assert (await cast.owner.get(cast.path)).status == 404
    assert (await cast.producer.get(cast.path)).json["ownerId"] == cast.producer.user["id"]
    assert (await cast.producer.delete(successor)).json["code"] == "last_owner"


async def test_of_owners_who_all_leave_at_once_one_stays(cast):
    owners = {"owner": cast.owner, "producer": cast.producer, "artist": cast.artist}
    for name in ("producer", "artist"):  # owners like the first
        await cast.owner.patch(f"{cast.collaborators}/{cast.members[name]}", {"roleKey": "owner"})
    leaving = [client.post(cast.leave) for client in owners.values() for _ in range(10)]
    answers = await asyncio.gather(*leaving)
    assert sum(answer.status == 204 for answer in answers) <= 2
    assert {answer.status for answer in answers} <= {204, 404, 409}
    left = (await cast.viewer.get(cast.collaborators)).json["items"]
    assert sum(member["roleKey"] == "owner" for member in left) >= 1


async def test_change_of_an_older_reading_is_refused(cast):
    path = f"{cast.collaborators}/{cast.members['viewer']}"
    rev = (await cast.owner.patch(path, {"roleKey": "artist"})).json["rev"]
    for stale in ({"json": {"roleKey": "viewer", "rev": rev - 1}}, {"headers": {"If-Match": f'"{rev - 1}"'}}):
        answer = await cast.owner.call("PATCH", path, **{"json": {"roleKey": "viewer"}, **stale})
        assert (answer.status, answer.json["code"]) == (409, "stale_revision")
    good = await cast.owner.patch(path, {"roleKey": "viewer"}, headers={"If-Match": f'"{rev}"'})
    assert (good.status, good.json["rev"]) == (200, rev + 1)


async def test_of_parallel_changes_of_a_role_each_is_whole(cast):
    path = f"{cast.collaborators}/{cast.members['viewer']}"
    roles = ["artist", "reviewer"] * 10
    answers = await asyncio.gather(*(cast.owner.patch(path, {"roleKey": role}) for role in roles))
    assert {answer.status for answer in answers} <= {200, 409}
    wins = sum(answer.status == 200 for answer in answers)
    items = (await cast.owner.get(cast.collaborators)).json["items"]
    member = next(m for m in items if m["id"] == cast.members["viewer"])
    assert member["rev"] == 2 + wins


async def test_member_of_another_project_is_not_reached_through_this_one(server, cast, shared):
    for role in ("viewer", "owner"):
        path = f"{cast.collaborators}/{shared.members[role]}"
        assert (await cast.owner.post(f"{path}/resend")).status == 404
        assert (await cast.owner.delete(path)).status == 404
        assert (await cast.owner.patch(path, {"roleKey": "viewer"})).status == 404
    assert (await shared.viewer.get(shared.path)).status == 200


@pytest.mark.parametrize("name", ["nope", "%00", '{"$ne":null}', "..%2F..", "[$ne]"])
async def test_odd_member_id_is_not_found(shared, name):
    path = f"{shared.collaborators}/{name}"
    assert (await shared.owner.delete(path)).status == 404
    assert (await shared.owner.patch(path, {"roleKey": "viewer"})).status == 404


async def test_removed_members_do_not_fill_the_project(cast, monkeypatch):
    monkeypatch.setattr("studio_projects.invitations.MAX_COLLABORATORS", 5)
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
    assert [a["actor"]["id"] for a in added] == [getattr(cast, role).user["id"] for role in ROLES]
    assert [(a["params"], a["actor"]["id"]) for a in changed] == [
        ({"email": email, "role": "artist"}, cast.producer.user["id"])
    ]
    assert [a["params"] for a in removed] == [{"email": email, "role": "artist"}]
