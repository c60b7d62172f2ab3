from __future__ import annotations

import io
from pathlib import Path

import pytest

pytestmark = pytest.mark.http
EXAMPLES = Path(__file__).parents[3] / "examples"
SCRIPT = "INT. KITCHEN - NIGHT\n\nRain.\n\nMAYA\nWho is there?\n"


async def project_of(client) -> str:
    answer = await client.post("/api/workbench/projects", {"name": "Rain"})
    assert answer.status == 201, answer
    return answer.json["id"]


async def story_of(client, text: str = SCRIPT) -> dict:
    answer = await client.post("/api/stories", {"projectId": await project_of(client), "text": text})
    assert answer.status == 201, answer
    return answer.json


async def test_uploaded_file_becomes_a_tree_that_is_cached(client):
    project = await project_of(client)
    data = (EXAMPLES / "first-light.fdx").read_bytes()
    path = f"/api/stories/upload?projectId={project}&filename=first-light.fdx"
    story = (await client.call("POST", path, data=data, headers={"Content-Type": "application/xml"})).json
    tree = await client.get(f"/api/stories/{story['id']}/tree")
    assert (story["title"], len(tree.json["scenes"]), len(tree.json["characters"])) == ("First Light", 3, 2)
    again = await client.get(
        f"/api/stories/{story['id']}/tree", headers={"If-None-Match": tree.headers["ETag"]}
    )
    assert (again.status, again.bytes) == (304, b"")


async def test_edit_on_another_revision_is_a_conflict(client):
    story = await story_of(client)
    path = f"/api/stories/{story['id']}"
    assert (await client.patch(path, {"title": "A", "rev": 1})).status == 200
    answer = await client.patch(path, {"title": "B"}, headers={"If-Match": '"1"'})
    assert (answer.status, answer.json["code"], answer.json["rev"]) == (409, "stale_revision", 2)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"%PDF-1.7", 422, "story_binary"),
        (b"", 422, "story_empty"),
        (b"a" * 20_000_001, 413, "payload_too_large"),
    ],
)
async def test_bad_upload_says_what_to_do(client, data, status, code):
    path = f"/api/stories/upload?projectId={await project_of(client)}&filename=a.txt"
    body = io.BytesIO(data)
    answer = await client.call("POST", path, data=body, headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.json["code"]) == (status, code)


@pytest.mark.parametrize(
    "text",
    [
        "INT. A - DAY\n\nBO\n" + "One more word. " * 5000,
        "INT. A - DAY\n\n" + "Rain and wind. " * 5000,
        f"INT. A - DAY\n\n@{'Bo ' * 200}\n({'low ' * 200})\nHi.\n",
        f"INT. A - DAY\n\nBO ({'V.O. ' * 200})\nHi.\n",
        f".{'A LONG PLACE ' * 200}\n\nRain.\n",
    ],
    ids=["speech", "action", "name", "extension", "heading"],
)
async def test_whatever_is_too_long_can_be_shown_and_broken_down(client, text):
    path = f"/api/stories/{(await story_of(client, text))['id']}"
    assert (await client.get(f"{path}/tree")).status == 200
    assert (await client.post(f"{path}/breakdown", {})).status == 202
    await client.wait_for(path, lambda found: found["status"] == "ready")
    assert (await client.get(f"{path}/tree")).json["shots"]


async def test_story_of_another_user_is_not_found(client, server):
    story = await story_of(client)
    stranger = await server.sign_in("stranger@example.org")
    for path in ("", "/tree", "/export", "/versions"):
        assert (await stranger.get(f"/api/stories/{story['id']}{path}")).status == 404
    assert (await stranger.delete(f"/api/stories/{story['id']}")).status == 404


async def test_breakdown_job_makes_shots(client):
    story = await story_of(client, (EXAMPLES / "the-lighthouse-keeper.fountain").read_text())
    path = f"/api/stories/{story['id']}"
    assert (await client.post(f"{path}/breakdown?dryRun=true")).json["estimateUusd"] == 0
    assert (await client.post(f"{path}/breakdown", {})).status == 202
    await client.wait_for(path, lambda found: found["status"] == "ready")
    shots = (await client.get(f"{path}/tree")).json["shots"]
    assert len(shots) >= 18
    assert len({shot["code"] for shot in shots}) == len(shots)
