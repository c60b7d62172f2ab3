"""kill -9 of a worker on a real database: every job ends once, and no request is sent twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections import Counter

import pytest

from studio.auth import Actor
from studio.jobs.contract import TERMINAL
from studio.jobs.store import JOBS_COLLECTION
from studio.model import now_ms

pytestmark = [pytest.mark.database, pytest.mark.child]
KILLS, JOBS = 6, 24

WORKER = '''
import asyncio, sys, time, types
from pathlib import Path
from studio.database.mongo import MongoDatabase
from studio.database.settings import DatabaseSettings
from studio.jobs.contract import CostDecision, JobKind
from studio.jobs.service import Jobs
from studio.jobs.settings import JobsSettings
from studio.jobs.store import JOBS_COLLECTION
from studio.providers.contract import Estimate, Generation, ProviderSpec
from studio.providers.registry import Providers
from studio.providers.requests import GenerationRequest
from studio.errors import ProviderRejectedError

URL, NAME, BOOK = sys.argv[1], sys.argv[2], Path(sys.argv[3])

class Vendor:
    """Books every submit in a file before it answers, and answers slowly."""
    def __init__(self, ctx): pass
    async def submit(self, request):
        with BOOK.open("a") as book: book.write(f"{request.job_id} {time.time()}\\n")
        await asyncio.sleep(0.03)
        return Generation(provider_job_id=f"v-{request.job_id}")
    async def poll(self, provider_job_id):
        booked = dict(line.split() for line in BOOK.read_text().splitlines())
        since = time.time() - float(booked[provider_job_id[2:]])
        state = "succeeded" if since > 0.2 else "running"
        return Generation(provider_job_id=provider_job_id, state=state)
    async def cancel(self, provider_job_id): return True
    def estimate(self, request): return Estimate(cost_uusd=1)

class Owner:
    async def first(self, hook, payload): return CostDecision(allowed=True) if hook == "hold_cost" else True
    def notify(self, hook, payload): pass

async def request(job): return GenerationRequest(job_id="x")
async def accept(job, generation, late): return {"result_asset_ids": [job["_id"]]}

async def main():
    database = MongoDatabase(URL, DatabaseSettings(studio_name=NAME, stories_name=NAME + "s"))
    database.declare([("studio", JOBS_COLLECTION)])
    settings = JobsSettings(scan_s=0.1, concurrency=4)
    providers = Providers(types.SimpleNamespace(jobs=settings), Owner())
    sys.modules["vendor"] = types.SimpleNamespace(Vendor=Vendor)
    providers.register("vendor", None, [ProviderSpec("fake", "image", "vendor:Vendor")])
    jobs = Jobs(database, Owner(), providers, settings)
    jobs.register([JobKind("image.generate", "Draw", "image", request, accept, poll_s=0.1)])
    await jobs.start()
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
'''


def kill(child):
    child.kill()
    child.wait()
    child.stdout.close()


@pytest.fixture
def worker(database, database_server_url, tmp_path):
    """Start workers one after the other; the last one is ended with the test."""
    book = tmp_path / "submits.txt"
    book.touch()
    children = []

    def start():
        name = database._places["studio"][1]
        command = [sys.executable, "-c", WORKER, database_server_url, name, str(book)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout.readline() == "up\n"
        return child

    start.book = book
    yield start
    for child in children:
        kill(child)


async def test_killed_workers_lose_nothing_and_send_nothing_twice(database, worker, make_world):
    database.declare([("studio", JOBS_COLLECTION)])
    await database.ensure()
    world = make_world(database=database, worker=False)
    chance = random.Random(7)
    child = worker()
    for _ in range(KILLS):
        world.clock.ms = now_ms() - 2_000  # nobody rings: the scanner may take them at once
        await world.jobs.submit_many(Actor(user_id="ada"), [world.order() for _ in range(JOBS // KILLS)])
        await asyncio.sleep(chance.uniform(0.05, 0.6))  # so that the kill meets any state
        kill(child)
        child = worker()
    async with asyncio.timeout(90):
        while await database["jobs"].count({"state": {"$nin": list(TERMINAL)}}):
            await asyncio.sleep(0.1)
    jobs = await database["jobs"].find({})
    submits = Counter(line.split()[0] for line in worker.book.read_text().splitlines())
    assert set(submits.values()) == {1}
    outcomes = Counter(job["state"] if job["state"] == "succeeded" else job["error"]["code"] for job in jobs)
    assert outcomes.keys() <= {"succeeded", "interrupted_unknown_charge"}
    assert sum(outcomes.values()) == JOBS
    assert outcomes["succeeded"] > JOBS / 4
