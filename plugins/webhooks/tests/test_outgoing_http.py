"""Endpoints and deliveries over HTTP, and real activities on their way out."""

from __future__ import annotations

import asyncio

import pytest

from studio import Actor
from studio_webhooks.outbox import Outbox

pytestmark = pytest.mark.http
ENDPOINTS, DELIVERIES = "/api/webhooks/endpoints", "/api/webhooks/deliveries"


@pytest.fixture
async def ann(studio):
    return await studio.sign_in("ann@example.org")


@pytest.fixture
async def project(ann):
    return (await ann.post("/api/workbench/projects", {"name": "Film"})).json["id"]


@pytest.fixture
async def told(receiver):
    async with receiver.server() as server:
        yield str(server.make_url("")).rstrip("/")


async def created(ann, project, url, *types):
    body = {"projectId": project, "url": url, "eventTypes": list(types or ["*"]), "description": "To us"}
    answer = await ann.post(ENDPOINTS, body)
    assert answer.status == 201, answer
    return answer.json


async def taken(receiver, count):
    async with asyncio.timeout(15):
        while len(receiver.taken) < count:
            await asyncio.sleep(0.01)
    return receiver.taken


async def test_secret_is_shown_once_and_never_again(ann, project):
    made = await created(ann, project, "https://hooks.invalid/a")
    assert made["secret"].startswith("whsec_")
    for answer in (
        await ann.get(f"{ENDPOINTS}/{made['id']}"),
        await ann.get(f"{ENDPOINTS}?projectId={project}"),
        await ann.patch(f"{ENDPOINTS}/{made['id']}", {"description": "New"}),
    ):
        assert answer.status == 200
        assert b"secret" not in answer.bytes
    rotated = (await ann.post(f"{ENDPOINTS}/{made['id']}/rotate")).json
    assert rotated["secret"] != made["secret"]
    assert "oldSecret" not in rotated


async def test_activity_of_the_project_is_delivered(ann, project, receiver, told):
    made = await created(ann, project, f"{told}/hook", "project.updated")
    receiver.secrets["/hook"] = made["secret"]
    assert (await ann.patch(f"/api/workbench/projects/{project}", {"name": "Another"})).status == 200
    ((_, delivery_id, said),) = await taken(receiver, 1)
    assert (said["type"], said["data"]["projectId"]) == ("project.updated", project)
    assert said["data"]["actor"]["id"] == ann.user["id"]
    path = f"{DELIVERIES}/{delivery_id}"
    delivery = await ann.wait_for(path, lambda found: found["state"] == "delivered")
    assert (delivery["endpointId"], delivery["status"]) == (made["id"], 200)
    assert '"project.updated"' in delivery["body"]
    again = await ann.post(f"{path}/redeliver")
    assert (again.status, again.json["state"]) == (202, "queued")
    assert [found[1] for found in await taken(receiver, 2)] == [delivery_id] * 2
    listed = (await ann.get(f"{DELIVERIES}?projectId={project}&endpointId={made['id']}")).json["items"]
    assert [item["id"] for item in listed] == [delivery_id]
    assert "body" not in listed[0]


async def test_end_of_a_job_is_delivered(studio, ann, project, receiver, told, sign, order, until):
    made = await created(ann, project, f"{told}/jobs", "job.succeeded")
    receiver.secrets["/jobs"] = made["secret"]
    job = await order(studio, project)
    body = f'{{"job":"{job["provider_job_id"]}","state":"succeeded"}}'.encode()
    assert (await studio.call("POST", "/api/webhooks/vendor", data=body, headers=sign(body))).status == 202
    ((_, _, said),) = await taken(receiver, 1)
    assert (said["type"], said["data"]["jobId"], said["data"]["kind"]) == (
        "job.succeeded",
        job["_id"],
        "test.call",
    )


async def test_deleted_project_tells_nobody_any_more(
    studio, ann, project, receiver, told, sign, order, until
):
    made = await created(ann, project, f"{told}/gone")
    receiver.secrets["/gone"] = made["secret"]
    job = await order(studio, project)
    assert (await ann.delete(f"/api/workbench/projects/{project}")).status == 204
    async with asyncio.timeout(15):
        while not any(said["type"] == "project.deleted" for _, _, said in receiver.taken):
            await asyncio.sleep(0.01)
    endpoints = studio.studio.services.database["webhook_endpoints"]
    assert (await endpoints.get(made["id"]))["disabled_reason"] == "project_deleted"
    body = f'{{"job":"{job["provider_job_id"]}","state":"succeeded"}}'.encode()
    await studio.call("POST", "/api/webhooks/vendor", data=body, headers=sign(body))
    await until(studio, job["_id"], "succeeded")
    await studio.studio.dispatcher.drain()
    outbox = studio.studio.services.provided[Outbox][1]
    async with asyncio.timeout(15):
        while outbox._noted:
            await asyncio.sleep(0.01)
    deliveries = studio.studio.services.database["webhook_deliveries"]
    assert await deliveries.count({"project_id": project, "type": "job.succeeded"}) == 0


async def test_test_event_is_delivered(ann, project, receiver, told):
    made = await created(ann, project, f"{told}/test", "job.failed")
    receiver.secrets["/test"] = made["secret"]
    answer = await ann.post(f"{ENDPOINTS}/{made['id']}/test")
    assert (answer.status, answer.json["type"]) == (202, "webhook.test")
    ((_, delivery_id, _),) = await taken(receiver, 1)
    assert delivery_id == answer.json["id"]


async def test_removed_endpoint_is_gone_with_its_deliveries(ann, project):
    made = await created(ann, project, "https://hooks.invalid/a")
    delivery = (await ann.post(f"{ENDPOINTS}/{made['id']}/test")).json
    assert (await ann.delete(f"{ENDPOINTS}/{made['id']}")).status == 204
    assert (await ann.get(f"{ENDPOINTS}/{made['id']}")).status == 404
    assert (await ann.get(f"{DELIVERIES}/{delivery['id']}")).status == 404


async def test_endpoints_are_for_who_manages_the_project(studio, ann, project):
    made = await created(ann, project, "https://hooks.invalid/a")
    viewer, stranger = [await studio.sign_in(f"{who}@example.org") for who in ("viewer", "stranger")]
    await viewer.join(ann, project, "artist")
    body = {"projectId": project, "url": "https://hooks.invalid/b", "eventTypes": ["*"]}
    for client, status in ((viewer, 403), (stranger, 404)):
        assert (await client.post(ENDPOINTS, body)).status == status
        assert (await client.get(f"{ENDPOINTS}?projectId={project}")).status == status
        assert (await client.get(f"{DELIVERIES}?projectId={project}")).status == status
        for method, path in (
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "/test"),
            ("POST", "/rotate"),
        ):
            json = {"enabled": False} if method == "PATCH" else None
            answer = await client.call(method, f"{ENDPOINTS}/{made['id']}{path}", json)
            assert answer.status == status, (method, path, answer)


@pytest.mark.parametrize(
    "url", ["ftp://x.org/", "http://x.org/", "https://10.1.2.3/", "javascript:alert(1)", "https://a b/"]
)
async def test_bad_address_is_told_at_its_field(ann, project, url):
    answer = await ann.post(ENDPOINTS, {"projectId": project, "url": url, "eventTypes": ["*"]})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/url")


async def test_event_types_are_the_activities_and_the_ends_of_jobs(studio, ann):
    items = (await ann.get("/api/webhooks/event-types")).json["items"]
    names = {item["type"] for item in items}
    assert {"project.updated", "story.created", "webhook.disabled", "job.succeeded", "job.failed"} <= names
    assert (await studio.get("/api/webhooks/event-types")).status == 401


async def test_crowd_of_events_is_delivered_once_each(studio, ann, project, receiver, told):
    made = await created(ann, project, f"{told}/many", "project.updated")
    receiver.secrets["/many"] = made["secret"]
    activity = studio.studio.services.activity
    for number in range(50):
        params = {"name": f"n{number}", "fields": "name"}
        activity.log_activity(project, Actor(ann.user["id"]), "project.updated", None, params)
    found = await taken(receiver, 50)
    assert len({delivery_id for _, delivery_id, _ in found}) == 50
