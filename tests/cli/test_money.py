"""kill -9 of a worker of the whole platform at random moments, while a vendor counts what it was asked and charges.

Six kills; `STUDIO_KILLS=100 .venv/bin/pytest -s tests/cli/test_money.py` is the long run, and prints the sums.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest
from pymongo import MongoClient

pytestmark = [pytest.mark.child, pytest.mark.database]
KILLS = int(os.environ.get("STUDIO_KILLS", "6"))
PRICE = 40_000
PAID = """
    import asyncio, time
    from pathlib import Path
    from studio import (Estimate, Generation, ImageRequest, JobKind, JobOrder, Manifest, Model, ModelSpec,
                        ProviderSpec, Route, SIGNED_IN, StudioHooks, hookimpl)

    BOOK, PRICE = Path("submits"), 40_000

    class Started(Model):
        id: str

    class Vendor:
        def __init__(self, ctx):
            pass
        def estimate(self, request):
            return Estimate(cost_uusd=PRICE)
        async def submit(self, request):
            await asyncio.sleep(0.1)  # on its way
            with BOOK.open("a") as book:
                book.write(f"{request.job_id} {time.time()}\\n")
            await asyncio.sleep(0.1)  # on its way back
            return Generation(provider_job_id=f"v-{request.job_id}")
        async def poll(self, provider_job_id):
            booked = dict(line.split() for line in BOOK.read_text().splitlines())
            done = time.time() - float(booked[provider_job_id[2:]]) > 0.8
            fields = {"state": "succeeded", "cost_uusd": PRICE} if done else {}
            return Generation(provider_job_id=provider_job_id, **fields)
        async def cancel(self, provider_job_id):
            return True

    async def request(job):
        return ImageRequest(job_id="x", prompt="a lamp")

    async def accept(job, generation, late):
        return {"result_asset_ids": []}

    async def order(request):
        target = {"type": "shot", "id": "s", "slot": "panel"}
        job = await request.ctx.jobs.submit(request.actor, JobOrder("paid.draw", "p", target, provider="paid"))
        return {"_id": job["_id"]}

    class Plugin(StudioHooks):
        manifest = Manifest("paid")
        @hookimpl
        def register_routes(self, ctx):
            return [Route("POST", "/api/paid", order, SIGNED_IN, returns=Started)]
        @hookimpl
        def register_providers(self, ctx):
            models = (ModelSpec("lamp", "per_call", PRICE),)
            return [ProviderSpec("paid", "image", "paid_plugin:Vendor", models=models)]
        @hookimpl
        def register_jobs(self, ctx):
            return [JobKind("paid.draw", "Draw for money", "image", request, accept, poll_s=0.2)]
"""


@pytest.fixture
def house(installation):
    """A server that takes orders for a vendor who charges, with `usage` as the owner of cost."""
    installation.install(PAID, "paid")
    installation.environ |= {
        "STUDIO_OWNERS__COST": "usage",
        "STUDIO_JOBS__SCAN_S": "0.2",
        "STUDIO_JOBS__LEASE_S": "3",
        "STUDIO_AUTH__OTP_INTERVAL_S": "0",
        "STUDIO_AUTH__ADMINS": "ann@example.org",
        "STUDIO_LIMITS__ALL": "100000/1",
        "STUDIO_LIMITS__CREATE": "100000/1",
    }
    server = installation.start("serve", STUDIO_JOBS__WORKER="false")
    installation.ready(server)
    token = installation.sign_in("ann@example.org")

    def order():
        status, made = installation.get("/api/paid", token, body={})
        assert status == 200, made
        return made["id"]

    installation.order = order
    yield installation
    assert installation.end(server)[0] == 0


def collection(house, client, name):
    return client[house.environ["STUDIO_DATABASE__STUDIO_NAME"]][name]


def written(house, name):
    path = house.folder / name
    return path.read_text().splitlines() if path.exists() else []


def wait_for_claim(house, client, worker):
    """Wait until this worker has begun with something, so that its start is not all that is killed."""
    busy = {"lease_owner": {"$regex": f":{worker.pid}:"}}
    house.until(worker, lambda: collection(house, client, "jobs").count_documents(busy) > 0)


def test_killed_workers_pay_once_and_the_ledger_is_what_the_vendor_charged(house):
    chance, ids = random.Random(11), []
    with MongoClient(house.environ["STUDIO_DATABASE__URL"]) as client:
        jobs, ledger = collection(house, client, "jobs"), collection(house, client, "ledger")
        for _ in range(KILLS):
            ids += [house.order() for _ in range(3)]
            worker = house.start("worker")
            wait_for_claim(house, client, worker)
            time.sleep(chance.uniform(0.0, 0.4))  # so that the kill meets any state
            worker.kill()
            worker.wait()
        worker = house.start("worker")
        ended = {"state": {"$in": ["succeeded", "failed", "cancelled"]}, "next_at": {"$exists": False}}
        mine = {"_id": {"$in": ids}}
        house.until(worker, lambda: jobs.count_documents({**mine, **ended}) == len(ids), within_s=120)
        assert house.end(worker)[0] == 0
        found, rows = list(jobs.find(mine)), list(ledger.find({"job_id": {"$in": ids}}))
    submits = Counter(line.split()[0] for line in written(house, "submits"))
    outcomes = Counter(j["state"] if j["state"] == "succeeded" else j["error"]["code"] for j in found)
    flagged = {j["_id"] for j in found if j["state"] == "failed"}
    charged = sum(submits.values()) * PRICE
    charged_flagged = sum(PRICE for name in submits if name.rpartition("-")[0] in flagged)
    captured = sum(r["amount_uusd"] or 0 for r in rows if r["kind"] == "capture")
    print(
        f"{KILLS} kills, {len(ids)} jobs: {dict(outcomes)}; submits {sum(submits.values())}, at most "
        f"{max(submits.values())} a request; vendor charged {charged}, of that {charged_flagged} for the flagged jobs "
        f"{sorted(flagged)}; ledger captured {captured} µUSD"
    )
    assert len(found) == len(ids)
    assert outcomes.keys() <= {"succeeded", "interrupted_unknown_charge"}
    assert outcomes["succeeded"] > 0
    assert set(submits.values()) == {1}
    assert {j["attempt"] for j in found} == {1}
    assert captured == charged - charged_flagged
    unknown = {r["job_id"] for r in rows if r["kind"] == "capture" and r["amount_uusd"] is None}
    assert unknown == flagged
    assert house.run("usage", "check")[0] == 0
