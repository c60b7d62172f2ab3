from __future__ import annotations

import asyncio
import sys
from typing import get_args

import pytest

from studio import ACTIVE, TERMINAL
from studio_asset_gen.models import JobState

pytestmark = pytest.mark.http
BASE = "/api/assetGen"


@pytest.fixture
def sent(world):
    """Record what the realtime channel is given."""
    realtime, found = world.services.realtime, []
    realtime.publish = lambda user, event, data: found.append((user, event, data))
    realtime.publish_room = lambda room, event, data: found.append((room, event, data))
    yield found
    del realtime.publish, realtime.publish_room


async def test_jobs_are_listed_newest_first_and_by_batch(world, story):
    batch = await story.batch("panels")
    await story.generate(0, "voice")
    path = f"{BASE}/jobs?projectId={story.project_id}"
    everything = (await world.get(path)).json["items"]
    assert [job["kind"] for job in everything] == ["voice.generate"] + ["image.generate"] * 3
    of_batch = (await world.get(f"{path}&batchId={batch['batchId']}")).json["items"]
    assert {job["id"] for job in of_batch} == {job["id"] for job in batch["jobs"]}


async def test_jobs_are_filtered_by_state_and_paged(world, story):
    await story.batch("panels")
    path = f"{BASE}/jobs?projectId={story.project_id}&state=succeeded&limit=2"
    first = (await world.get(path)).json
    second = (await world.get(f"{path}&cursor={first['nextCursor']}")).json
    assert (len(first["items"]), len(second["items"]), second["nextCursor"]) == (2, 1, None)
    assert (await world.get(path.replace("succeeded", "failed"))).json["items"] == []


def test_states_of_a_job_are_those_of_the_kernel():
    assert set(get_args(JobState)) == {*ACTIVE, *TERMINAL}


async def test_state_that_no_job_has_is_refused(world, story):
    answer = await world.get(f"{BASE}/jobs?projectId={story.project_id}&state=running")
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/state")


async def test_job_shows_progress_cost_and_result(world, story):
    job = await story.generate(0)
    shown = (await world.get(f"{BASE}/jobs/{job['_id']}")).json
    assert shown["state"] == "succeeded"
    assert shown["progress"]["pct"] == 100
    assert (shown["estimateUusd"], shown["costUusd"], shown["costSource"]) == (1_000, 1_000, "computed")
    assert shown["resultAssetIds"] == job["result_asset_ids"]


async def test_job_hides_its_input_and_lease(world, story):
    job = await story.generate(0)
    shown = (await world.get(f"{BASE}/jobs/{job['_id']}")).json
    assert not {"input", "leaseOwner", "generation", "sent"} & set(shown)


async def test_job_of_another_project_is_not_found(world, story):
    job = await story.generate(0)
    assert (await world.get(f"{BASE}/jobs/{job['_id']}", user="eve")).status == 404
    assert (await world.post(f"{BASE}/jobs/{job['_id']}/cancel", user="eve")).status == 404


async def test_queued_job_is_cancelled_at_once(world, story):
    made = await world.post(f"{BASE}/generate", {"target": story.target(0)})
    answer = await world.post(f"{BASE}/jobs/{made.json['job']['id']}/cancel")
    assert answer.json["state"] == "cancelled"
    assert world.fakes.requests == []


async def test_finished_job_cannot_be_cancelled(world, story):
    job = await story.generate(0)
    assert (await world.post(f"{BASE}/jobs/{job['_id']}/cancel")).status == 409


async def test_failed_job_is_retried(world, story):
    world.fakes.failing.add("fake")
    job = await story.generate(0)
    world.fakes.failing.clear()
    answer = await world.post(f"{BASE}/jobs/{job['_id']}/retry")
    await world.settle()
    assert answer.status == 202
    assert (await world.services.jobs.get(job["_id"]))["state"] == "succeeded"
    await story.read()
    assert "panel" in story.shots[0]["current"]


async def test_succeeded_job_cannot_be_retried(world, story):
    job = await story.generate(0)
    assert (await world.post(f"{BASE}/jobs/{job['_id']}/retry")).status == 409


async def test_pending_jobs_of_a_batch_are_cancelled_and_running_ones_go_on(world, story):
    body = {"storyId": story.id, "kinds": ["panels"]}
    world.fakes.hold = True
    batch = (await world.post(f"{BASE}/batch", body)).json
    await world.services.jobs.step(batch["jobs"][0]["id"])
    cancel = {"projectId": story.project_id, "batchId": batch["batchId"]}
    answer = await world.post(f"{BASE}/jobs/cancel", cancel)
    world.fakes.finish()
    await world.settle()
    assert answer.json == {"cancelled": 2}
    assert [job["state"] for job in await world.jobs(story.project_id)] == [
        "succeeded",
        "cancelled",
        "cancelled",
    ]


async def test_queue_is_paused_and_resumed_by_whoever_operates_the_platform(world, story):
    assert (await world.post(f"{BASE}/queue/pause")).status == 403
    paused = await world.post(f"{BASE}/queue/pause", user="root")
    assert (paused.status, paused.json) == (200, {"paused": True})
    assert (await world.get(f"{BASE}/queue")).json == {"paused": True}
    job = (await world.post(f"{BASE}/generate", {"target": story.target(0)})).json["job"]
    await world.services.jobs.step(job["id"])
    assert (await world.services.jobs.get(job["id"]))["state"] == "queued"
    assert (await world.post(f"{BASE}/queue/resume", user="root")).json == {"paused": False}
    await world.settle()
    assert (await world.services.jobs.get(job["id"]))["state"] == "succeeded"


async def test_batch_of_another_project_cannot_be_cancelled(world, story):
    other = await world.story()
    batch = (await world.post(f"{BASE}/batch", {"storyId": other.id, "kinds": ["panels"]})).json
    cancel = {"projectId": story.project_id, "batchId": batch["batchId"]}
    assert (await world.post(f"{BASE}/jobs/cancel", cancel)).status == 404
    await world.settle()
    assert len(await other.assets()) == 3


async def test_models_name_price_and_availability(world):
    items = (await world.get(f"{BASE}/models?capability=image")).json["items"]
    assert [(row["provider"], row["available"]) for row in items] == [("fake", True), ("unpriced", True)]
    assert items[0]["models"][0]["priceKind"] == "per_image"


async def test_models_leave_storage_and_mail_out(world):
    items = (await world.get(f"{BASE}/models")).json["items"]
    assert "storage" not in {row["capability"] for row in items}


async def test_user_and_room_hear_of_a_job(world, story, sent):
    job = await story.generate(0)
    mine = [data for target, event, data in sent if (target, event) == ("ann", "assetGenResponse")]
    assert [data["status"] for data in mine][-1] == 200
    assert mine[-1]["success"] is True
    assert mine[-1]["data"]["job"]["id"] == job["_id"]
    rooms = {event for target, event, _ in sent if target == f"project:{story.project_id}"}
    assert {"job.updated", "asset.ready"} <= rooms


async def test_user_hears_of_a_failure_with_its_reason(world, story, sent):
    world.fakes.failing.add("fake")
    await story.generate(0)
    last = [data for target, event, data in sent if event == "assetGenResponse"][-1]
    assert (last["status"], last["success"]) == (500, False)
    assert "fake is down" in last["message"]


async def test_events_of_a_job_are_ordered_by_state_seq(world, story, sent):
    job = await story.generate(0)
    seqs = [data["job"]["stateSeq"] for _, event, data in sent if event == "job.updated"]
    assert seqs == sorted(seqs)
    assert seqs[-1] == job["state_seq"]


async def test_fifty_accepts_of_one_result_keep_one_take(world, story, sent):
    from studio import Generation, MediaFile
    from studio_asset_gen.takes import AssetStore

    job = await story.generate(0)
    path = world.fakes.folder / "again.png"
    path.write_bytes(b"again")
    result = Generation(
        provider_job_id="p", state="succeeded", files=(MediaFile(mime="image/png", path=path),)
    )
    again = job | {"attempt": 2}
    sent.clear()
    store = world.service(AssetStore)
    answers = await asyncio.gather(*(store.accept(again, result, False) for _ in range(50)))
    assert {answer["result_asset_ids"][0] for answer in answers} == {f"{job['_id']}-2-0"}
    assert [take["take"] for take in await story.assets(slot="panel")] == [1, 2]
    assert len([event for _, event, _ in sent if event == "asset.ready"]) == 1


async def test_fifty_results_of_one_slot_are_fifty_takes_and_one_is_current(world, story):
    from studio import Generation, MediaFile
    from studio_asset_gen.takes import AssetStore

    job = await story.generate(0)
    path = world.fakes.folder / "many.png"
    path.write_bytes(b"many")
    result = Generation(
        provider_job_id="p", state="succeeded", files=(MediaFile(mime="image/png", path=path),)
    )
    store = world.service(AssetStore)
    await asyncio.gather(*(store.accept(job | {"attempt": n}, result, False) for n in range(2, 52)))
    takes = await story.assets(slot="panel")
    await story.read()
    assert sorted(take["take"] for take in takes) == list(range(1, 52))
    assert story.shots[0]["current"]["panel"] in {take["_id"] for take in takes}


async def test_success_without_a_file_fails_the_job(world, story):
    from studio import Generation, ProviderRejectedError
    from studio_asset_gen.takes import AssetStore

    job = await story.generate(0)
    empty = Generation(provider_job_id="p", state="succeeded")
    with pytest.raises(ProviderRejectedError, match="without a file"):
        await world.service(AssetStore).accept(job, empty, False)


async def test_result_at_a_vendors_address_is_copied_first(world, story, monkeypatch):
    from studio import Generation, MediaFile
    from studio_asset_gen.takes import AssetStore

    class Client:
        async def download(self, url, target, *, hosts, max_bytes):
            assert (hosts, max_bytes) == (("*.cdn.example",), 50_000_000)
            target.write_bytes(f"from {url}".encode())

    monkeypatch.setattr(type(world.services.http), "client", lambda *_, **__: Client())
    monkeypatch.setattr(type(world.services.providers), "file_hosts", lambda _, name: (f"*.{name}.example",))
    job = (await story.generate(0)) | {"provider": "cdn"}
    file = MediaFile(mime="image/png", url="https://cdn.example/1.png")
    store = world.service(AssetStore)
    result = Generation(provider_job_id="p", state="succeeded", files=(file,))
    kept = await store.accept(job | {"attempt": 9}, result, False)
    asset = await store.asset(kept["result_asset_ids"][0])
    assert (await store.path(asset)).read_bytes() == b"from https://cdn.example/1.png"
    store._downloads = None


@pytest.mark.parametrize("off", [False, True])
async def test_result_that_cannot_be_fetched_now_is_fetched_later_and_not_paid_again(
    world, story, monkeypatch, off
):
    from studio import MediaFile, ProviderError
    from studio_asset_gen.takes import AssetStore

    hosts, away = [()] if off else [("cdn.example",)], [not off]

    class Client:
        async def download(self, url, target, *, hosts, max_bytes):
            if away.pop():
                raise ProviderError("asset_gen.results answered 503.")
            target.write_bytes(b"a picture")

    fakes = type(world.services.providers)
    monkeypatch.setattr(type(world.services.http), "client", lambda *_, **__: Client())
    monkeypatch.setattr(fakes, "file_hosts", lambda *_: hosts[-1])
    monkeypatch.setattr(fakes, "check_files", lambda *_: None)
    monkeypatch.setattr(world.service(AssetStore)._finisher, "_downloads", None)
    url = MediaFile(mime="image/png", url="https://cdn.example/1.png")
    monkeypatch.setattr(sys.modules["asset_gen_world"].FakeImages, "files", lambda *_: (url,))
    made = await world.post("/api/assetGen/generate", {"target": story.target(0)})
    job_id = made.json["job"]["id"]
    await world.services.jobs.step(job_id)
    waiting = await world.services.jobs.get(job_id)
    assert (waiting["state"], await story.assets()) == ("finalizing", [])
    hosts.append(("cdn.example",))
    away.append(False)
    await world.db["jobs"].update(job_id, {"$set": {"next_at": 0}})
    await world.services.jobs.step(job_id)
    done = await world.services.jobs.get(job_id)
    assert (done["state"], done["attempt"], len(world.fakes.requests)) == ("succeeded", 1, 1)


async def test_result_that_cannot_be_fetched_for_an_hour_ends_the_job(world, story, monkeypatch):
    from studio import Generation, MediaFile, ProviderError
    from studio_asset_gen.takes import AssetStore

    job = await story.generate(0)
    url = MediaFile(mime="image/png", url="https://cdn.example/1.png")
    late = job | {"attempt": 9, "started_at": job["started_at"] - 3_600_001}
    result = Generation(provider_job_id="p", state="succeeded", files=(url,))
    monkeypatch.setattr(type(world.services.providers), "file_hosts", lambda *_: ())
    with pytest.raises(ProviderError, match="is off"):
        await world.service(AssetStore).accept(late, result, False)
