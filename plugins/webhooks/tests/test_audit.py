"""Who sends a project's events elsewhere, and who has a vendor's call worked on again, is written down."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.http
ENDPOINTS = "/api/webhooks/endpoints"


async def entries(root, **query):
    wanted = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await root.get(f"/api/audit?{wanted}")
    assert answer.status == 200, answer
    return answer.json["items"]


async def test_life_of_an_endpoint_is_told_without_its_secret_and_its_path(studio, root):
    ann = await studio.sign_in("ann@example.org")
    project = (await ann.post("/api/workbench/projects", {"name": "Film"})).json["id"]
    body = {"projectId": project, "url": "https://hooks.invalid/t0ken", "eventTypes": ["*"]}
    made = (await ann.post(ENDPOINTS, body)).json
    path = f"{ENDPOINTS}/{made['id']}"
    await ann.patch(path, {"url": "https://hooks.invalid/an0ther", "eventTypes": ["job.failed"]})
    rotated = (await ann.post(f"{path}/rotate")).json
    await ann.delete(path)
    found = await entries(root, targetId=made["id"])
    assert [entry["action"].partition(".")[2] for entry in found] == [
        "deleted",
        "rotated",
        "updated",
        "created",
    ]
    assert {(entry["actor"]["id"], entry["projectId"]) for entry in found} == {(ann.user["id"], project)}
    updated, told = found[2], repr(found)
    assert updated["before"].keys() == updated["after"].keys() == {"url_digest", "event_types"}
    for secret in ("t0ken", "an0ther", made["secret"], rotated["secret"]):
        assert secret not in told


async def test_replay_is_told(studio, root, sign):
    body = b'{"type":"audited"}'
    delivery = (await studio.call("POST", "/api/webhooks/vendor", data=body, headers=sign(body))).json[
        "deliveryId"
    ]

    def ended(page):
        return [c for c in page["items"] if c["deliveryId"] == delivery and c["state"] == "processed"]

    (call,) = ended(await root.wait_for("/api/webhooks/inbox?limit=200", ended))
    assert (await root.post(f"/api/webhooks/inbox/{call['id']}/replay")).status == 200
    (entry,) = await entries(root, targetId=call["id"])
    assert (entry["action"], entry["actor"]["id"]) == ("webhook.replayed", root.user["id"])
    assert entry["after"] == {"provider": "vendor", "delivery_id": delivery}
