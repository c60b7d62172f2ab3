"""Deliveries on the in-memory repository, to a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from studio import Actor, ConflictError, DatabaseUnavailableError, InvalidInputError, now_ms
from studio_webhooks.events import Occurrence, of_activity, of_job
from studio_webhooks.models import DeliveryQuery, EndpointCreate, EndpointUpdate
from studio_webhooks.settings import WebhooksSettings

pytestmark = pytest.mark.http
ANN = Actor("ann")
DAY_S = 86_400


@pytest.fixture
async def world(build_house, receiver):
    async with receiver.server() as server:
        house = build_house(private_hosts=["127.0.0.1"], timeout_s=5)
        house.clock.ms = now_ms()  # receivers compare with the real time
        base = str(server.make_url("")).rstrip("/")
        yield SimpleNamespace(house=house, receiver=receiver, base=base)


async def endpoint_of(world, path="/hook", project="p1", types=("*",)):
    body = EndpointCreate(project_id=project, url=world.base + path, event_types=list(types))
    endpoint = await world.house.endpoints.create_endpoint(ANN, body)
    world.receiver.secrets[path] = endpoint["secret"]
    return endpoint


async def happen(world, number=1, kind="story.created", project="p1"):
    world.house.outbox.note(Occurrence(f"e{number}", project, kind, 1_800_000_000_000, {"number": number}))
    await world.house.outbox.store_noted()


async def deliver(world):
    return await world.house.sent.work_due()


async def only(world, **where):
    (found,) = await world.house.deliveries.find(where)
    return found


async def test_event_is_delivered_signed_by_standard_webhooks(world):
    await endpoint_of(world)
    await happen(world)
    assert await deliver(world) == 1
    done = await only(world)
    assert world.receiver.taken == [
        (
            "/hook",
            done["_id"],
            {
                "type": "story.created",
                "timestamp": "2027-01-15T08:00:00.000Z",
                "data": {"id": "e1", "projectId": "p1", "number": 1},
            },
        )
    ]
    assert (done["state"], done["status"], done["attempts"], done["next_at"]) == ("delivered", 200, 1, 0)
    assert "the answer" not in repr(done), "what the other side says is kept nowhere"


@pytest.mark.parametrize("field", ["attempts", "lane", "project_id"])
async def test_delivery_of_another_version_holds_up_no_other(world, field):
    await endpoint_of(world)
    await happen(world, 1)
    await happen(world, 2)
    strange, usual = await world.house.deliveries.find({}, sort=[("_id", 1)])
    await world.house.deliveries.update(strange["_id"], {"$unset": {field: ""}})
    assert await deliver(world) == 2
    assert (await world.house.deliveries.get(usual["_id"]))["state"] == "delivered"


async def test_only_who_asked_in_this_project_is_told(world):
    await endpoint_of(world, "/all")
    await endpoint_of(world, "/jobs", types=["job.failed"])
    await endpoint_of(world, "/other", project="p2")
    await happen(world)
    await deliver(world)
    assert [path for path, _, _ in world.receiver.taken] == ["/all"]


async def test_event_that_is_noted_twice_is_delivered_once(world):
    await endpoint_of(world)
    await happen(world)
    await happen(world)
    await deliver(world)
    assert len(world.receiver.taken) == 1


async def test_failures_are_tried_again_by_the_schedule_under_one_id(world):
    world.receiver.answers.extend([500, 503, 404, 302, 429, 500, 500])
    await endpoint_of(world)
    world.receiver.secrets.clear()  # its clock does not go along with ours
    await happen(world)
    waits = []
    for _ in range(7):
        assert await deliver(world) == 1
        waiting = await only(world)
        waits.append((waiting["next_at"] - world.house.clock()) / 1000)
        assert (waiting["state"], await deliver(world)) == ("queued", 0)
        world.house.clock.pass_s(waits[-1])
        world.house.clock.ms = max(world.house.clock.ms, waiting["next_at"])
    assert waits == [5, 300, 1_800, 7_200, 18_000, 36_000, 23_000]
    assert sum(waits) <= DAY_S
    headers = [call[0] for call in world.receiver.calls]
    assert len({h["webhook-id"] for h in headers}) == 1
    assert len({h["webhook-timestamp"] for h in headers}) == 7, "each try is signed anew"
    assert len({body for _, body in world.receiver.calls}) == 1
    await deliver(world)
    assert (await only(world))["state"] == "delivered"


async def test_delivery_is_dead_when_every_try_has_failed_and_can_be_sent_again(world):
    house, endpoint = world.house, await endpoint_of(world)
    world.receiver.secrets.clear()  # its clock does not go along with ours
    await happen(world)
    world.receiver.answers.extend([500] * 8)
    for _ in range(8):
        assert await deliver(world) == 1
        house.clock.ms = max(house.clock.ms, (await only(world))["next_at"])
    dead = await only(world)
    assert (dead["state"], dead["status"], dead["attempts"], dead["next_at"]) == ("dead", 500, 8, 0)
    house.clock.ms = now_ms()
    world.receiver.secrets["/hook"] = endpoint["secret"]
    again = await house.outbox.redeliver(ANN, dead)
    assert (again["state"], again["attempts"]) == ("queued", 0)
    assert not {"error", "status", "duration_ms", "delivered_at"} & again.keys()
    with pytest.raises(ConflictError):
        await house.outbox.redeliver(ANN, again)
    await deliver(world)
    assert world.receiver.taken[-1][1] == dead["_id"]
    done = await only(world)
    assert done["state"] == "delivered"
    assert "delivered_at" not in await house.outbox.redeliver(ANN, done), "it is on its way again"


async def test_delivery_that_is_sent_again_at_its_end_is_kept_while_it_is_tried(world):
    await endpoint_of(world)
    await happen(world)
    await deliver(world)
    world.house.clock.pass_s(29.9 * DAY_S)
    await world.house.outbox.redeliver(ANN, await only(world))
    world.house.clock.pass_s(0.2 * DAY_S)
    assert (await only(world))["state"] == "queued"


async def test_what_the_other_side_asks_for_is_waited_for(world):
    world.receiver.answers.append(429)
    world.receiver.headers["Retry-After"] = "120"
    await endpoint_of(world)
    await happen(world)
    await deliver(world)
    assert (await only(world))["next_at"] == world.house.clock() + 120_000


async def test_endpoint_that_is_gone_is_switched_off_at_once(world):
    house, endpoint = world.house, await endpoint_of(world)
    world.receiver.answers.append(410)
    await happen(world, 1)
    await happen(world, 2)
    await deliver(world)
    off = await house.endpoints.get_endpoint(endpoint["_id"])
    assert (off["enabled"], off["disabled_reason"]) == (False, "gone")
    assert {d["state"] for d in await house.deliveries.find({})} == {"dead"}
    assert len(world.receiver.taken) == 1, "the second was not sent"
    assert [entry[2:] for entry in house.activity.logged][-1] == (
        "webhook.disabled",
        {"type": "webhook", "id": endpoint["_id"], "name": "127.0.0.1"},
        {"host": "127.0.0.1", "reason": "gone"},
    )
    await happen(world, 3)
    assert await house.deliveries.count({}) == 2, "nobody is left to be told"
    on = await house.endpoints.update_endpoint(ANN, off, EndpointUpdate(enabled=True))
    assert on["enabled"]
    assert "disabled_reason" not in on


async def test_endpoint_that_fails_for_days_is_switched_off(world):
    house, endpoint = world.house, await endpoint_of(world)
    world.receiver.answers.extend([500, 500, 500])
    for number, days in ((1, 4.9), (2, 0.2), (3, 0)):
        await happen(world, number)
        (found,) = await house.deliveries.find({"event_id": f"e{number}"})
        await house.sender.handle({**found, "attempts": 1})
        state = await house.endpoints.get_endpoint(endpoint["_id"])
        assert state["enabled"] is (number < 3)
        house.clock.pass_s(days * DAY_S)
        world.receiver.secrets.clear()
    assert state["disabled_reason"] == "failing"


async def test_a_success_begins_the_days_anew(world):
    house, endpoint = world.house, await endpoint_of(world)
    world.receiver.answers.append(500)
    await happen(world)
    await deliver(world)
    assert "failing_since" in await house.endpoints.get_endpoint(endpoint["_id"])
    house.clock.pass_s(5)
    await deliver(world)
    assert "failing_since" not in await house.endpoints.get_endpoint(endpoint["_id"])


async def test_slow_endpoint_delays_no_other(world):
    gate = world.receiver.gates["/slow"] = asyncio.Event()
    await endpoint_of(world, "/slow", types=["job.failed"])
    await endpoint_of(world, "/quick", types=["story.created"])
    for number in range(100):
        await happen(world, number, "job.failed")
    for number in range(100, 110):
        await happen(world, number, "story.created")
    async with asyncio.timeout(10):
        while len(world.receiver.taken) < 10 or len(world.house.sent._running) > 1:  # it holds one place
            await world.house.sent.begin_due()
            await asyncio.sleep(0.005)
    assert {path for path, _, _ in world.receiver.taken} == {"/quick"}
    gate.set()
    await deliver(world)


async def test_as_many_slow_endpoints_as_may_be_set_are_told_at_the_same_time(build_house, receiver):
    most = WebhooksSettings.model_json_schema()["properties"]["deliveries"]["maximum"]
    gate = asyncio.Event()
    async with receiver.server() as server:
        house = build_house(private_hosts=["127.0.0.1"], deliveries=most, endpoints=most, timeout_s=20)
        world = SimpleNamespace(house=house, receiver=receiver, base=str(server.make_url("")).rstrip("/"))
        for number in range(most):
            receiver.gates[f"/{number}"] = gate
            await endpoint_of(world, f"/{number}")
        receiver.secrets.clear()
        await happen(world)
        async with asyncio.timeout(10):
            await house.sent.begin_due()
            while len(receiver.calls) < most:
                await asyncio.sleep(0)
        gate.set()
        await asyncio.wait(house.sent._running.values())
    assert await house.deliveries.count({"state": "delivered"}) == most


async def test_an_answer_that_does_not_come_ends_by_its_deadline(build_house, receiver):
    async with receiver.server() as server:
        house = build_house(private_hosts=["127.0.0.1"], timeout_s=0.2)
        receiver.gates["/hook"] = asyncio.Event()
        world = SimpleNamespace(house=house, receiver=receiver, base=str(server.make_url("")).rstrip("/"))
        await endpoint_of(world)
        await happen(world)
        await deliver(world)
        receiver.gates["/hook"].set()
        late = await only(world)
        assert (late["state"], late.get("status")) == ("queued", None)
        assert "0.2 s" in late["error"]


async def test_failing_endpoints_open_no_circuit_for_others(world):
    for number in range(10):
        body = EndpointCreate(project_id="p1", url=f"http://127.0.0.1:9/{number}", event_types=["*"])
        await world.house.endpoints.create_endpoint(ANN, body)
    await endpoint_of(world)
    await happen(world)
    await deliver(world)
    assert [path for path, _, _ in world.receiver.taken] == ["/hook"]


async def test_private_address_is_never_reached(build_house, receiver):
    async with receiver.server() as server:
        house = build_house()
        url = f"https://localtest.example:{server.port}/hook"
        body = EndpointCreate(project_id="p1", url=url, event_types=["*"])
        endpoint = await house.endpoints.create_endpoint(ANN, body)
        await house.database["webhook_endpoints"].update(
            endpoint["_id"], {"$set": {"url": f"https://127.0.0.1:{server.port}/hook"}}
        )
        await house.outbox.send_test(endpoint)
        await house.sent.work_due()
        (delivery,) = await house.deliveries.find({})
        assert (delivery["state"], "not a public address" in delivery["error"]) == ("queued", True)
        assert receiver.calls == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "https://127.0.0.1/hook",
        "https://localhost/hook",
        "https://10.0.0.7/hook",
        "https://[::1]/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://user:word@example.org/hook",
        "https://example.org/hook#part",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://[::1/",
        "https:///hook",
    ],
)
async def test_address_that_may_not_be_told_is_refused(house, url):
    with pytest.raises(InvalidInputError):
        await house.endpoints.create_endpoint(
            ANN, EndpointCreate(project_id="p1", url=url, event_types=["*"])
        )
    good = EndpointCreate(project_id="p1", url="https://example.org/x", event_types=["*"])
    endpoint = await house.endpoints.create_endpoint(ANN, good)
    with pytest.raises(InvalidInputError):
        await house.endpoints.update_endpoint(ANN, endpoint, EndpointUpdate(url=url))


async def test_rotated_secret_signs_beside_the_old_one_for_a_day(world):
    house, endpoint = world.house, await endpoint_of(world)
    old = endpoint["secret"]
    fresh = await house.endpoints.rotate_secret(ANN, endpoint)
    assert fresh["secret"] != old
    for secret in (old, fresh["secret"]):
        world.receiver.secrets["/hook"] = secret
        await happen(world, secret[:12])
        await deliver(world)
    assert (len(world.receiver.taken), world.receiver.refused) == (2, 0)
    house.clock.pass_s(DAY_S)
    later = house.sender.signed(await house.endpoints.get_endpoint(endpoint["_id"]), "msg_1", "{}")
    assert len(later["webhook-signature"].split()) == 1
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify("{}", later)


async def test_a_test_goes_out_even_when_the_endpoint_is_off(world):
    house, endpoint = world.house, await endpoint_of(world, types=["job.failed"])
    off = await house.endpoints.update_endpoint(ANN, endpoint, EndpointUpdate(enabled=False))
    assert off["disabled_reason"] == "asked"
    await house.outbox.send_test(off)
    await deliver(world)
    assert [said["type"] for _, _, said in world.receiver.taken] == ["webhook.test"]


async def test_too_many_endpoints_and_unknown_events_are_refused(build_house):
    house = build_house(endpoints=2)
    good = {"project_id": "p1", "url": "https://example.org/", "event_types": ["story.created", "job.failed"]}
    with pytest.raises(InvalidInputError, match=r"No such event: story\.lost"):
        await house.endpoints.create_endpoint(ANN, EndpointCreate(**good | {"event_types": ["story.lost"]}))
    for _ in range(2):
        await house.endpoints.create_endpoint(ANN, EndpointCreate(**good))
    with pytest.raises(ConflictError):
        await house.endpoints.create_endpoint(ANN, EndpointCreate(**good))
    await house.endpoints.create_endpoint(ANN, EndpointCreate(**good | {"project_id": "p2"}))


def yielding(call):
    async def called(*given, **named):
        await asyncio.sleep(0)
        return await call(*given, **named)

    return called


async def test_many_at_the_same_time_are_no_more_than_a_project_may_have(build_house, monkeypatch):
    house = build_house(endpoints=3)
    repository = house.database["webhook_endpoints"]
    for name in ("count", "find", "insert"):  # a real database lets others in between
        monkeypatch.setattr(repository, name, yielding(getattr(repository, name)))
    body = EndpointCreate(project_id="p1", url="https://example.org/", event_types=["*"])
    first = await house.endpoints.create_endpoint(ANN, body)
    answers = await asyncio.gather(
        *(house.endpoints.create_endpoint(ANN, body) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(answer, dict) for answer in answers) == 2
    assert sum(isinstance(answer, ConflictError) for answer in answers) == 18
    await house.endpoints.delete_endpoint(ANN, first)
    await house.endpoints.create_endpoint(ANN, body)
    assert await repository.count({"project_id": "p1"}) == 3


async def test_endpoints_of_an_older_version_count_too(build_house):
    house = build_house(endpoints=3)
    body = EndpointCreate(project_id="p1", url="https://example.org/", event_types=["*"])
    old = {"project_id": "p1", "url": "https://example.org/", "secret": "whsec_", "enabled": True}
    await house.database["webhook_endpoints"].insert_many([old, old])
    await house.endpoints.create_endpoint(ANN, body)
    with pytest.raises(ConflictError):
        await house.endpoints.create_endpoint(ANN, body)


async def test_deletion_is_the_last_that_endpoints_of_a_project_hear(world):
    house, endpoint = world.house, await endpoint_of(world)
    other = await endpoint_of(world, "/other", project="p2")
    await happen(world, 1)
    for number, kind in ((2, "project.deleted"), (3, "job.failed")):
        house.outbox.note(Occurrence(f"e{number}", "p1", kind, 1_800_000_000_000))
    await house.outbox.store_noted()
    await happen(world, 4)
    await happen(world, 5, project="p2")
    while await deliver(world):
        pass
    told = sorted((path, said["type"]) for path, _, said in world.receiver.taken)
    assert told == [("/hook", "project.deleted"), ("/other", "story.created")]
    left = await house.endpoints.get_endpoint(endpoint["_id"])
    assert (left["enabled"], left["disabled_reason"]) == (False, "project_deleted")
    house.clock.pass_s(31 * DAY_S)
    kept = await house.database["webhook_endpoints"].find({})
    assert [found["_id"] for found in kept] == [other["_id"]]


async def test_endpoint_of_a_project_that_is_restored_can_be_switched_on(world):
    house, endpoint = world.house, await endpoint_of(world)
    await happen(world, 1, "project.deleted")
    left = await house.endpoints.get_endpoint(endpoint["_id"])
    await house.endpoints.update_endpoint(ANN, left, EndpointUpdate(enabled=True))
    house.clock.pass_s(31 * DAY_S)
    assert (await house.endpoints.get_endpoint(endpoint["_id"]))["enabled"]


async def test_events_wait_while_the_database_is_away(world, monkeypatch):
    await endpoint_of(world)
    told_in, tries = world.house.endpoints.told_in, []

    async def away(*given):
        tries.append(given)
        if len(tries) == 1:
            raise DatabaseUnavailableError
        return await told_in(*given)

    monkeypatch.setattr(world.house.endpoints, "told_in", away)
    monkeypatch.setattr("studio_webhooks.outbox.RETRY_S", 0.0)
    world.house.ctx.spawn(world.house.outbox.run(), "events")
    world.house.outbox.note(Occurrence("e1", "p1", "story.created", 1, {}))
    async with asyncio.timeout(5):
        while not await world.house.deliveries.count({}):
            await asyncio.sleep(0)
    assert len(tries) == 2


async def test_event_that_is_too_large_says_only_what_it_is_about(world):
    await endpoint_of(world)
    activity = {"_id": "a1", "project_id": "p1", "action": "story.created", "at": 1, "job_id": None}
    world.house.outbox.note(of_activity(activity | {"params": {"text": "ü" * 12_000}}))
    await world.house.outbox.store_noted()
    await deliver(world)
    ((_, body),) = world.receiver.calls
    assert len(body) < 20_000
    assert json.loads(body)["data"] == {"id": "a1", "projectId": "p1", "truncated": True}


async def test_only_the_end_of_a_job_is_an_event():
    job = {"_id": "j1", "project_id": "p1", "state_seq": 5, "kind": "image.generate", "state": "submitted"}
    assert of_job(job, 7) is None
    failed = {"state": "failed", "error": {"code": "nsfw", "message": "No.", "input": "prompt"}}
    event = of_job(job | failed, 7)
    assert (event.id, event.type, event.at) == ("j1.5", "job.failed", 7)
    assert event.data["error"] == {"code": "nsfw", "message": "No."}


async def test_deliveries_are_listed_by_endpoint_and_state(world):
    one, two = await endpoint_of(world, "/one"), await endpoint_of(world, "/two")
    await happen(world)
    listed = world.house.outbox.list_deliveries
    assert len((await listed(DeliveryQuery(project_id="p1"))).items) == 2
    assert not (await listed(DeliveryQuery(project_id="p2"))).items
    (found,) = (await listed(DeliveryQuery(project_id="p1", endpoint_id=two["_id"], state="queued"))).items
    assert found["endpoint_id"] == two["_id"]
    await world.house.endpoints.delete_endpoint(ANN, one)
    await world.house.outbox.forget(one["_id"])
    assert len((await listed(DeliveryQuery(project_id="p1"))).items) == 1
