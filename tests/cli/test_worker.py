"""`studio worker` beside `studio serve`, and `studio jobs` on what they leave."""

from __future__ import annotations

import json
import time

import pytest
from pymongo import MongoClient

pytestmark = [pytest.mark.child, pytest.mark.database]
SLOW = """
    import asyncio, os
    from pathlib import Path
    from studio import (Estimate, Generation, ImageRequest, JobKind, JobOrder, Manifest, Model, ProviderSpec, Route,
                        SIGNED_IN, StudioHooks, hookimpl)

    class Started(Model):
        id: str

    class Vendor:
        def __init__(self, ctx):
            pass
        def estimate(self, request):
            return Estimate(cost_uusd=1)
        async def submit(self, request):
            Path(f"claimed-{os.getpid()}").touch()
            while not Path("answer").exists():
                await asyncio.sleep(0.05)
            return Generation(provider_job_id=f"v-{request.job_id}", state="succeeded")

    async def request(job):
        return ImageRequest(job_id="x", prompt="a lamp")

    async def accept(job, generation, late):
        return {"result_asset_ids": []}

    async def order(request):
        target = {"type": "shot", "id": "s", "slot": "panel"}
        job = await request.ctx.jobs.submit(request.actor, JobOrder("slow.draw", "p", target, provider="slow"))
        return {"_id": job["_id"]}

    class Plugin(StudioHooks):
        manifest = Manifest("slow")
        @hookimpl
        def register_routes(self, ctx):
            return [Route("POST", "/api/slow", order, SIGNED_IN, returns=Started)]
        @hookimpl
        def register_providers(self, ctx):
            return [ProviderSpec("slow", "image", "slow_plugin:Vendor", idempotent_submit=True)]
        @hookimpl
        def register_jobs(self, ctx):
            return [JobKind("slow.draw", "Draw slowly", "image", request, accept)]
"""


@pytest.fixture
def house(installation):
    """A server that takes orders and does not work on them; `order()` gives it one."""
    installation.install(SLOW, "slow")
    installation.environ |= {"STUDIO_JOBS__WORKER": "false", "STUDIO_AUTH__OTP_INTERVAL_S": "0"}
    server = installation.start("serve")
    installation.ready(server)
    token = installation.sign_in("ann@example.org")

    def order():
        status, made = installation.get("/api/slow", token, body={})
        assert status == 200, made
        return made["id"]

    installation.order = order
    yield installation
    assert installation.end(server)[0] == 0


def stored(house, *job_ids):
    """Return the documents of jobs, by the way that costs no process."""
    name = house.environ["STUDIO_DATABASE__STUDIO_NAME"]
    with MongoClient(house.environ["STUDIO_DATABASE__URL"]) as client:
        return [client[name]["jobs"].find_one({"_id": job_id}) for job_id in job_ids]


def succeeded(house, *job_ids):
    return lambda: {job["state"] for job in stored(house, *job_ids)} == {"succeeded"}


def test_two_workers_beside_a_server_that_does_not_work_do_its_jobs(house):
    (house.folder / "answer").touch()
    jobs = [house.order() for _ in range(6)]
    assert {job["state"] for job in stored(house, *jobs)} == {"queued"}
    workers = [house.start("worker", STUDIO_JOBS__CONCURRENCY="1") for _ in range(2)]
    house.until(workers[0], succeeded(house, *jobs))
    for worker in workers:
        code, said, seconds = house.end(worker)
        assert (code, "Traceback" in said) == (0, False), said
        assert seconds < 25
    assert [job["attempt"] for job in stored(house, *jobs)] == [1] * 6


def test_a_worker_that_is_stopped_in_the_middle_of_a_step_gives_its_lease_back(house):
    house.environ |= {"STUDIO_JOBS__LEASE_S": "600", "STUDIO_JOBS__STOP_S": "0.5"}
    job_id = house.order()
    worker = house.start("worker")
    house.until(worker, (house.folder / f"claimed-{worker.pid}").exists)
    assert stored(house, job_id)[0]["lease_owner"]
    code, said, seconds = house.end(worker)
    assert (code, "Traceback" in said) == (0, False), said
    assert seconds < 25
    left = json.loads(house.run("jobs", "show", job_id)[1])
    assert left["state"] == "claimed"
    assert "leaseOwner" not in left
    assert left["nextAt"] <= time.time() * 1000
    (house.folder / "answer").touch()
    another = house.start("worker")
    house.until(another, succeeded(house, job_id))
    assert house.end(another)[0] == 0


def test_jobs_are_listed_cancelled_and_tried_again_without_a_token(house):
    first, second = house.order(), house.order()
    code, out, _ = house.run("jobs", "list")
    assert code == 0
    assert out.index(second) < out.index(first)
    assert "slow.draw" in out
    assert json.loads(house.run("jobs", "cancel", first, "--json")[1])["state"] == "cancelled"
    listed = json.loads(house.run("jobs", "list", "--state", "cancelled", "--json")[1])
    assert [job["id"] for job in listed] == [first]
    assert json.loads(house.run("jobs", "list", "--project", "nobody", "--json")[1]) == []
    assert "There are more than 1" in house.run("jobs", "list", "--limit", "1")[1]
    assert house.run("jobs", "retry", first)[1] == f"{first}: queued, attempt 2\n"


def test_a_paused_queue_is_left_alone_by_a_worker_until_it_is_resumed(house):
    assert "studio jobs resume" in house.run("jobs", "pause")[1]
    job_id = house.order()
    assert "The queue is paused" in house.run("jobs", "list")[1]
    worker = house.start("worker")
    house.until(worker, lambda: "worker_ready" in worker.log.read_text())
    (house.folder / "answer").touch()
    assert stored(house, job_id)[0]["state"] == "queued"
    assert house.run("jobs", "resume")[0] == 0
    house.until(worker, succeeded(house, job_id))
    assert house.end(worker)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "nothing"), "there is no job 'nothing'"),
        (("show", "queue"), "there is no job 'queue'"),
        (("cancel", "nothing"), "There is no such job."),
        (("retry", "nothing"), "There is no such job."),
        (("list", "--state", "fine"), "'fine' is no state of a job; there are waiting, queued"),
    ],
)
def test_a_wrong_question_about_jobs_ends_with_1_and_says_why(run, database_server_url, arguments, said):
    code, out, err = run("jobs", *arguments, STUDIO_DATABASE__URL=database_server_url)
    assert (code, out) == (1, "")
    assert said in err
    assert "Traceback" not in err


def test_jobs_without_a_database_end_with_69(run):
    code, _, err = run("jobs", "list", MONGODB_URL="mongodb://127.0.0.1:1")
    assert code == 69
    assert "the database at 127.0.0.1:1 cannot be used" in err
