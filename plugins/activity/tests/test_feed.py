from __future__ import annotations

import pytest

from studio import Actor, new_id
from studio_activity.service import fill

pytestmark = pytest.mark.http
PROJECTS = "/api/workbench/projects"


@pytest.fixture
async def project(client) -> str:
    made = (await client.post(PROJECTS, {"name": "Rain"})).json["id"]
    await client.studio.services.activity.flush()
    return made


async def log(client, project: str, *names: str) -> None:
    activity = client.studio.services.activity
    for name in names:
        actor = Actor(client.user["id"], name="Maya")
        activity.log_activity(project, actor, "collaborator.added", params={"email": name, "role": "viewer"})
    await activity.flush()


@pytest.mark.pure
@pytest.mark.parametrize(
    ("label", "params", "text"),
    [
        ("added {email} as {role}", {"email": "a@x", "role": "viewer"}, "added a@x as viewer"),
        ("changed {fields}", {"fields": ["name", "fps"]}, "changed name, fps"),
        ("changed {fields}", {}, "changed {fields}"),
        ("made {a}", {"a": "{b}", "b": "secret"}, "made {b}"),
        ("made {a}", {"a": "{{7*7}} {0.__class__}"}, "made {{7*7}} {0.__class__}"),
        ("made {a.__class__}", {"a": "x"}, "made {a.__class__}"),
        ("made {a}", {"a": None}, "made None"),
    ],
)
def test_label_is_filled_by_plain_substitution(label, params, text):
    assert fill(label, params) == text


async def test_feed_tells_who_did_what_and_when(client, project):
    await client.patch("/api/auth/me", {"name": "Maya"})
    await client.patch(f"{PROJECTS}/{project}", {"fps": 30})
    await client.studio.services.activity.flush()
    feed = (await client.get(f"{PROJECTS}/{project}/activities")).json
    assert feed["nextCursor"] is None
    newest, first = feed["items"]
    assert (newest["action"], newest["text"]) == ("project.updated", "changed the project's fps")
    assert (first["action"], first["text"]) == ("project.created", "created the project Rain")
    assert newest["actor"].keys() == {"type", "id", "name"}
    assert (newest["actor"]["type"], newest["actor"]["id"]) == ("user", client.user["id"])
    assert newest["at"] >= first["at"] > 1_600_000_000_000
    assert first["target"] == {"type": "project", "id": project, "name": "Rain"}


async def test_feed_is_paged_newest_first_without_gaps(client, project):
    await log(client, project, *(f"n{n}" for n in range(7)))
    seen, query = [], "limit=3"
    for _ in range(3):
        page = (await client.get(f"{PROJECTS}/{project}/activities?{query}")).json
        seen += [item["params"].get("email", "created") for item in page["items"]]
        query = f"limit=3&cursor={page['nextCursor']}"
    assert seen == [*(f"n{n}" for n in reversed(range(7))), "created"]
    assert page["nextCursor"] is None


async def test_what_happens_meanwhile_does_not_shift_the_pages(client, project):
    await log(client, project, "a", "b")
    first = (await client.get(f"{PROJECTS}/{project}/activities?limit=2")).json
    await log(client, project, "c")
    rest = (await client.get(f"{PROJECTS}/{project}/activities?cursor={first['nextCursor']}")).json
    assert [item["params"].get("email") for item in first["items"]] == ["b", "a"]
    assert [item["action"] for item in rest["items"]] == ["project.created"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=nope", "cursor=%00", "project_id=x", "q[$gt]="]
)
async def test_feed_asked_for_wrongly_is_refused(client, project, query):
    answer = await client.get(f"{PROJECTS}/{project}/activities?{query}")
    assert (answer.status, answer.json["code"]) == (422, "invalid_input")


async def test_cursor_of_another_project_shows_nothing_of_it(server, client, project):
    await log(client, project, "secret@example.org", "x")
    cursor = (await client.get(f"{PROJECTS}/{project}/activities?limit=1")).json["nextCursor"]
    other = await server.sign_in(f"{new_id().lower()}@example.org")
    mine = (await other.post(PROJECTS, {"name": "Snow"})).json["id"]
    await client.studio.services.activity.flush()
    answer = await other.get(f"{PROJECTS}/{mine}/activities?cursor={cursor}")
    assert "secret" not in str(answer.json)
    assert (await other.get(f"{PROJECTS}/{project}/activities?cursor={cursor}")).status == 404


async def test_feed_of_others_and_of_nobody_is_not_found(server, client, project):
    other = await server.sign_in(f"{new_id().lower()}@example.org")
    for name in (project, new_id(), "%00"):
        assert (await other.get(f"{PROJECTS}/{name}/activities")).status == 404
    assert (await server.get(f"{PROJECTS}/{project}/activities")).status == 401


async def test_action_of_a_plugin_that_is_off_shows_its_code(client, project):
    database = client.studio.services.database["projectActivities"]
    gone = {"project_id": project, "action": "gone.done", "actor": {"type": "user", "id": "x"}, "at": 1}
    await database.insert(gone)
    newest = (await client.get(f"{PROJECTS}/{project}/activities")).json["items"][0]
    assert (newest["text"], newest["params"], newest["target"]) == ("gone.done", {}, None)


async def test_labels_of_every_registered_action_are_listed(client):
    items = (await client.get("/api/workbench/activity-actions")).json["items"]
    codes = [item["code"] for item in items]
    assert codes == sorted(client.studio.services.activity.actions)
    labels = {item["code"]: (item["label"], item["category"]) for item in items}
    assert labels["project.created"] == ("created the project {name}", "lifecycle")
    assert labels["collaborator.removed"] == ("removed {email}", "collaborators")


async def test_labels_need_somebody_signed_in(server):
    assert (await server.get("/api/workbench/activity-actions")).status == 401


async def test_activity_is_told_to_the_projects_room(client, project):
    studio = client.studio
    sent = []

    class Recording:
        name = "recording"

        async def send(self, message):
            sent.append(message)

        async def disconnect(self, user_id, *, session_id=None):
            pass

    transport = Recording()
    studio.services.realtime.transports.append(transport)
    try:
        await client.patch(f"{PROJECTS}/{project}", {"name": "Snow"})
        await studio.services.activity.flush()
        await studio.dispatcher.drain()
        await studio.services.realtime.flush()
    finally:
        studio.services.realtime.transports.remove(transport)
    ours = [m for m in sent if m.target_id == f"project:{project}"]
    assert [(m.target, m.event) for m in ours] == [("room", "activity.created")]
    newest = (await client.get(f"{PROJECTS}/{project}/activities?limit=1")).json["items"][0]
    wire = ours[0].wire
    assert wire.pop("seq") > 0
    assert wire == {name: newest[name] for name in ("id", "projectId", "action", "text", "actor", "at")}
