from __future__ import annotations

import asyncio

import pytest

from studio import new_id

pytestmark = pytest.mark.http
PROJECTS = "/api/workbench/projects"


async def activities(client, project_id: str) -> list[dict]:
    """Return what was logged of a project, oldest first, from the database: also of a deleted one."""
    services = client.studio.services
    await services.activity.flush()
    return await services.database["projectActivities"].find({"project_id": project_id}, sort=[("_id", 1)])


# ---------------------------------------------------------------- create and list


async def test_new_project_belongs_to_its_maker(client):
    answer = await client.post(PROJECTS, {"name": "  Rain  ", "fps": 25, "aspect": "2.39:1"})
    assert answer.status == 201
    project = answer.json
    assert (project["name"], project["fps"], project["aspect"], project["rev"]) == ("Rain", 25, "2.39:1", 1)
    assert (project["ownerId"], project["status"]) == (client.user["id"], "active")
    assert (await client.get(f"{PROJECTS}/{project['id']}")).json == project
    members = (await client.get(f"/api/rbac/projects/{project['id']}/collaborators")).json["items"]
    assert [(m["userId"], m["roleKey"]) for m in members] == [(client.user["id"], "owner")]


@pytest.mark.parametrize(
    "field",
    [
        "_id",
        "id",
        "ownerId",
        "owner_id",
        "slug",
        "status",
        "rev",
        "createdAt",
        "deletedAt",
        "role",
        "credits",
        "$set",
    ],
)
async def test_nobody_chooses_what_is_ours_to_choose(client, field):
    answer = await client.post(PROJECTS, {"name": "Rain", field: "x"})
    assert (answer.status, answer.json["code"]) == (422, "invalid_input")


@pytest.mark.parametrize(
    "change",
    [
        {"name": {"$ne": None}},
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 201},
        {"name": "a\r\nb"},
        {"name": "a\u2028b"},
        {"name": "\u202egnp.exe"},
        {"name": "a\x00b"},
        {"name": None},
        {"fps": 11},
        {"fps": 10**30},
        {"fps": 23.5},
        {"fps": {"$gt": 0}},
        {"aspect": "1:99"},
        {"language": "EN"},
        {"language": "en\n"},
        {"stylePrompt": "x" * 2001},
    ],
    ids=ascii,
)
async def test_project_of_the_wrong_shape_is_refused(client, change):
    assert (await client.post(PROJECTS, {"name": "Rain"} | change)).status == 422


@pytest.mark.parametrize("name", ["{{7*7}}", "{name}", "<b>", "Zoë 🎬", "../../etc", "%00"])
async def test_name_is_text_and_nothing_else(client, name):
    project = (await client.post(PROJECTS, {"name": name})).json
    assert project["name"] == name
    first = (await client.get(f"{PROJECTS}/{project['id']}")).json
    assert first["name"] == name


async def test_projects_of_one_name_have_different_slugs(client):
    answers = await asyncio.gather(*(client.post(PROJECTS, {"name": "Über Räin!"}) for _ in range(10)))
    slugs = {answer.json["slug"] for answer in answers}
    assert len(slugs) == 10
    assert all(slug.startswith("uber-rain-") for slug in slugs)


async def test_taken_slug_is_drawn_again(client, monkeypatch):
    drawn = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("studio_projects.service.secrets.token_hex", lambda _: next(drawn))
    name = f"n{new_id().lower()}"
    slugs = [(await client.post(PROJECTS, {"name": name})).json["slug"] for _ in range(2)]
    assert slugs == [f"{name}-aaaa", f"{name}-bbbb"]


async def test_slug_that_is_always_taken_is_a_conflict(client, monkeypatch):
    monkeypatch.setattr("studio_projects.service.secrets.token_hex", lambda _: "same")
    name = f"n{new_id().lower()}"
    answers = [await client.post(PROJECTS, {"name": name}) for _ in range(2)]
    assert [(a.status, a.json.get("code")) for a in answers] == [(201, None), (409, "slug_taken")]


async def test_write_sent_again_creates_once(client):
    key = {"Idempotency-Key": new_id()}
    answers = [await client.post(PROJECTS, {"name": "Once"}, headers=key) for _ in range(3)]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert [p["name"] for p in (await client.get(PROJECTS)).json["items"]] == ["Once"]


async def test_list_is_paged_newest_first(client):
    made = [(await client.post(PROJECTS, {"name": f"P{n}"})).json["id"] for n in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        page = (await client.get(f"{PROJECTS}?limit=2{cursor}")).json
        seen += [project["id"] for project in page["items"]]
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == made[::-1]
    assert page["nextCursor"] is None


async def test_list_of_more_projects_than_one_query_takes_is_whole(server, client):
    provided = server.studio.services.provided
    service = next(v for k, (_, v) in provided.items() if k.__name__ == "ProjectService")
    database, user = server.studio.services.database, client.user["id"]
    ids = sorted(new_id() for _ in range(130))
    await database["projects"].insert_many(
        [{"_id": i, "name": i, "slug": i, "owner_id": user, "deleted_at": None} for i in ids]
    )
    members = [{"project_id": i, "user_id": user, "state": "active", "role_key": "owner"} for i in ids]
    await database["collaborators"].insert_many(members)
    assert [project["_id"] for project in await service.projects_of(user)] == ids[::-1]
    page = (await client.get(f"{PROJECTS}?limit=120")).json
    assert (len(page["items"]), page["nextCursor"]) == (120, ids[10])


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=nope", "q=1", "q[$gt]=", "limit=1&limit=2"]
)
async def test_list_asked_for_wrongly_is_refused(client, query):
    assert (await client.get(f"{PROJECTS}?{query}")).status == 422


async def test_list_shows_own_projects_only(server, client):
    await client.post(PROJECTS, {"name": "Mine"})
    other = await server.sign_in(f"{new_id().lower()}@example.org")
    assert (await other.get(PROJECTS)).json == {"items": [], "nextCursor": None}


async def test_strangers_to_the_house_see_nothing(server):
    assert [(await server.call(m, PROJECTS)).status for m in ("GET", "POST")] == [401, 401]


# ---------------------------------------------------------------- whose is it


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("HEAD", "", None),
        ("PATCH", "", {"name": "Stolen"}),
        ("DELETE", "", None),
        ("GET", "/activities", None),
    ],
)
async def test_others_project_does_not_exist_on_any_verb(shared, method, tail, body):
    theirs = await shared.stranger.call(method, shared.path + tail, body)
    nothing = await shared.stranger.call(method, f"{PROJECTS}/{new_id()}{tail}", body)
    assert theirs.status == nothing.status == 404
    if method != "HEAD":
        assert theirs.json["detail"] == nothing.json["detail"]
    assert (await shared.owner.get(shared.path)).json["name"] == "Rain"


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("POST", "", {"email": "a@example.org"}),
        ("PATCH", "/{viewer}", {"roleKey": "producer"}),
        ("DELETE", "/{viewer}", None),
    ],
)
async def test_others_collaborators_do_not_exist_on_any_verb(shared, method, tail, body):
    path = shared.collaborators + tail.format(**shared.members)
    assert (await shared.stranger.call(method, path, body)).status == 404
    permissions = await shared.stranger.get(f"/api/rbac/projects/{shared.project['id']}/my-permissions")
    assert permissions.status == 404


@pytest.mark.parametrize(
    "name", ["%00", "..%2F..%2Fauth", '{"$ne":null}', "x" * 2000, "[$ne]", "%F0%9F%8E%AC"]
)
async def test_odd_project_id_is_not_found(client, name):
    assert (await client.get(f"{PROJECTS}/{name}")).status == 404


@pytest.mark.parametrize("role", ["viewer", "reviewer", "artist"])
async def test_who_may_only_see_may_not_write(shared, role):
    client = getattr(shared, role)
    assert (await client.get(shared.path)).status == 200
    refused = [
        await client.patch(shared.path, {"name": "X"}),
        await client.delete(shared.path),
        await client.post(shared.collaborators, {"email": shared.stranger.user["email"]}),
        await client.patch(f"{shared.collaborators}/{shared.members[role]}", {"roleKey": "producer"}),
        await client.delete(f"{shared.collaborators}/{shared.members['viewer']}"),
    ]
    assert [(a.status, a.json["code"]) for a in refused] == [(403, "forbidden")] * 5
    assert refused[0].json["permission"] == "project:write"


async def test_producer_writes_and_invites_but_does_not_delete(cast):
    assert (await cast.producer.patch(cast.path, {"name": "Snow"})).json["name"] == "Snow"
    body = {"email": cast.stranger.user["email"]}
    assert (await cast.producer.post(cast.collaborators, body)).status == 201
    assert (await cast.producer.delete(cast.path)).status == 403


# ---------------------------------------------------------------- change


async def test_change_counts_the_revision(client):
    project = (await client.post(PROJECTS, {"name": "Rain"})).json
    path = f"{PROJECTS}/{project['id']}"
    first = await client.patch(path, {"name": "Snow", "rev": 1})
    assert (first.status, first.json["name"], first.json["rev"]) == (200, "Snow", 2)
    stale = await client.patch(path, {"name": "Hail", "rev": 1})
    assert (stale.status, stale.json["code"]) == (409, "stale_revision")
    assert (await client.get(path)).json["name"] == "Snow"


async def test_revision_may_stand_in_if_match(client):
    path = f"{PROJECTS}/{(await client.post(PROJECTS, {'name': 'Rain'})).json['id']}"
    assert (await client.patch(path, {"name": "Snow"}, headers={"If-Match": '"1"'})).status == 200
    assert (await client.patch(path, {"name": "Hail"}, headers={"If-Match": '"1"'})).status == 409
    assert (await client.patch(path, {"name": "Hail"}, headers={"If-Match": "1"})).status == 400


async def test_of_parallel_changes_to_one_revision_one_wins(client):
    path = f"{PROJECTS}/{(await client.post(PROJECTS, {'name': 'Rain'})).json['id']}"
    answers = await asyncio.gather(*(client.patch(path, {"name": f"N{n}", "rev": 1}) for n in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 19
    assert (await client.get(path)).json["rev"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rev": 1},
        {"name": None},
        {"rev": 0, "name": "X"},
        {"rev": 10**30, "name": "X"},
        {"rev": {"$gt": 0}, "name": "X"},
        {"status": "deleting"},
        {"ownerId": "me"},
        {"owner_id": "me"},
        {"_id": "x"},
        {"slug": "x"},
        {"deletedAt": None, "name": "X"},
        {"role": "owner", "name": "X"},
        {"settings.x": 1, "name": "X"},
        [],
    ],
    ids=str,
)
async def test_change_of_what_nobody_may_change_is_refused(shared, body):
    answer = await shared.owner.patch(shared.path, body)
    assert (answer.status, answer.json["code"]) == (422, "invalid_input")


async def test_archived_project_stays_readable(client):
    path = f"{PROJECTS}/{(await client.post(PROJECTS, {'name': 'Rain'})).json['id']}"
    assert (await client.patch(path, {"status": "archived"})).json["status"] == "archived"
    assert (await client.get(path)).status == 200


# ---------------------------------------------------------------- delete


async def test_deleted_project_is_gone_everywhere_for_everybody(cast):
    for client in (cast.owner, cast.viewer):
        assert (await client.get(cast.path)).status == 200
    assert (await cast.owner.delete(cast.path)).status == 204
    mine = f"/api/rbac/projects/{cast.project['id']}/my-permissions"
    for client in (cast.owner, cast.producer, cast.viewer):
        paths = [cast.path, f"{cast.path}/activities", cast.collaborators, mine]
        assert [(await client.get(path)).status for path in paths] == [404] * 4
        assert cast.project["id"] not in str((await client.get(PROJECTS)).json)
        check = {"permission": "project:read", "projectId": cast.project["id"]}
        assert (await client.post("/api/rbac/check", check)).json == {"allowed": False}
    assert (await cast.owner.patch(cast.path, {"name": "Back"})).status == 404
    assert (await cast.owner.delete(cast.path)).status == 404
    assert (await cast.owner.post(cast.collaborators, {"email": "a@example.org"})).status == 404
    path = f"{cast.collaborators}/{cast.members['viewer']}"
    assert (await cast.owner.delete(path)).status == 404


async def test_deleted_project_keeps_its_data_and_its_slug(cast):
    await cast.owner.delete(cast.path)
    kept = await cast.owner.studio.services.database["projects"].get(cast.project["id"])
    assert (kept["slug"], kept["status"]) == (cast.project["slug"], "deleting")
    assert kept["deleted_at"] > 0


async def test_of_parallel_deletes_one_counts(client):
    project = (await client.post(PROJECTS, {"name": "Rain"})).json["id"]
    answers = await asyncio.gather(*(client.delete(f"{PROJECTS}/{project}") for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [204] + [404] * 9
    logged = [activity["action"] for activity in await activities(client, project)]
    assert logged.count("project.deleted") == 1


# ---------------------------------------------------------------- what is logged


async def test_life_of_a_project_is_logged(client):
    project = (await client.post(PROJECTS, {"name": "Rain"})).json["id"]
    await client.patch(f"{PROJECTS}/{project}", {"name": "Snow", "fps": 30})
    await client.delete(f"{PROJECTS}/{project}")
    logged = await activities(client, project)
    assert [a["action"] for a in logged] == ["project.created", "project.updated", "project.deleted"]
    assert [a["params"] for a in logged] == [
        {"name": "Rain"},
        {"name": "Snow", "fields": ["fps", "name"]},
        {"name": "Snow"},
    ]
    assert {a["actor"]["id"] for a in logged} == {client.user["id"]}
    assert {a["target"]["id"] for a in logged} == {project}


async def test_what_was_refused_is_not_logged(shared):
    before = len(await activities(shared.owner, shared.project["id"]))
    await shared.viewer.patch(shared.path, {"name": "X"})
    await shared.owner.patch(shared.path, {"name": "X", "rev": 99})
    await shared.stranger.delete(shared.path)
    assert len(await activities(shared.owner, shared.project["id"])) == before
