"""A small world for jobs: a clock to turn, a vendor to script, an owner of cost, a bell that notes rings."""

from __future__ import annotations

import sys
import types
from collections import Counter
from typing import Any

import pytest

from studio.auth import Actor
from studio.errors import ProviderRejectedError
from studio.jobs.contract import CostDecision, JobKind, JobOrder
from studio.jobs.service import Jobs
from studio.jobs.settings import JobsSettings
from studio.jobs.store import JOBS_COLLECTION
from studio.providers.contract import Estimate, Generation, GenerationError, ProviderSpec
from studio.providers.registry import Providers
from studio.providers.requests import GenerationRequest
from studio.testing.memory import InMemoryDatabase

ACTOR = Actor(user_id="ada")


class Clock:
    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


class Vendor:
    """`plan` decides each submit, `answers` each poll; the default is to run once and then succeed."""

    def __init__(self) -> None:
        self.submits: Counter[str] = Counter()
        self.requests: list[GenerationRequest] = []
        self.polls: Counter[str] = Counter()
        self.cancels: list[str] = []
        self.plan: list[Any] = []
        self.answers: list[Any] = []
        self.known: set[str] = set()
        self.price: int | None = 40_000
        self.on_submit: Any = None

    async def submit(self, request: GenerationRequest) -> Generation:
        self.submits[request.job_id] += 1
        self.requests.append(request)
        if self.on_submit:
            await self.on_submit()
        self.known.add(f"v-{request.job_id}")
        return self._next(self.plan, f"v-{request.job_id}", Generation(provider_job_id=f"v-{request.job_id}"))

    async def poll(self, provider_job_id: str) -> Generation:
        self.polls[provider_job_id] += 1
        if provider_job_id not in self.known:
            raise ProviderRejectedError("unknown id")
        return self._next(self.answers, provider_job_id, done(provider_job_id))

    async def cancel(self, provider_job_id: str) -> bool:
        self.cancels.append(provider_job_id)
        return True

    def estimate(self, request: GenerationRequest) -> Estimate:
        return Estimate(cost_uusd=self.price)

    @staticmethod
    def _next(script: list[Any], provider_job_id: str, default: Generation) -> Generation:
        found = script.pop(0) if script else default
        if isinstance(found, Exception):
            raise found
        return found.model_copy(update={"provider_job_id": provider_job_id})


def done(provider_job_id: str = "", **fields: Any) -> Generation:
    return Generation(provider_job_id=provider_job_id, state="succeeded", **fields)


def running(**fields: Any) -> Generation:
    return Generation(provider_job_id="", **fields)


def failed(code: str = "nsfw", *, retryable: bool = False, **fields: Any) -> Generation:
    error = GenerationError(code=code, message="No.", retryable=retryable, input="prompt")
    return Generation(provider_job_id="", state="failed", error=error, **fields)


class Owner:
    """A dispatcher whose owner of cost keeps a ledger keyed by (job, attempt, kind)."""

    def __init__(self) -> None:
        self.hold: Any = CostDecision(allowed=True)
        self.settles: Any = True
        self.held: list[Any] = []
        self.ledger: dict[tuple[str, int, str], Any] = {}
        self.told: list[dict[str, Any]] = []

    async def first(self, hook: str, payload: Any) -> Any:
        answer = self.hold if hook == "hold_cost" else self.settles
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(payload)
        if hook == "hold_cost":
            self.held.append(payload)
        elif answer:
            self.ledger.setdefault((payload.job_id, payload.attempt, payload.kind), payload)
        return answer

    def notify(self, hook: str, payload: dict[str, Any]) -> None:
        assert hook == "job_changed"
        self.told.append(payload)

    def kinds(self, job_id: str) -> list[tuple[int, str]]:
        return [(attempt, kind) for found, attempt, kind in self.ledger if found == job_id]


class Bell:
    def __init__(self) -> None:
        self.rings: list[tuple[str, float]] = []

    async def start(self, step: Any) -> None:
        self.step = step

    async def enqueue(self, job_id: str, delay_s: float = 0.0, priority: int = 0) -> None:
        self.rings.append((job_id, delay_s))

    async def stop(self) -> None:
        self.rings.clear()


class World:
    def __init__(
        self,
        *,
        idempotent: bool = False,
        database: Any = None,
        public_url: str | None = None,
        **settings: Any,
    ) -> None:
        self.clock, self.vendor, self.owner = Clock(), Vendor(), Owner()
        self.accepted: list[tuple[str, bool]] = []
        self.on_accept: Any = None
        self.on_request: Any = None
        module = types.ModuleType("fake_vendor")
        module.Vendor = lambda ctx: self.vendor  # type: ignore[attr-defined]
        sys.modules["fake_vendor"] = module
        self.config = JobsSettings(**settings)
        self.database = database or InMemoryDatabase(self.clock)
        if database is None:
            self.database.declare([("studio", JOBS_COLLECTION)])
        self.providers = Providers(
            types.SimpleNamespace(jobs=self.config),  # type: ignore[arg-type]
            self.owner,  # type: ignore[arg-type]
            clock=lambda: self.clock() / 1000,
        )
        self.public_url = public_url
        spec = ProviderSpec(
            "fake",
            "image",
            "fake_vendor:Vendor",
            idempotent_submit=idempotent,
            webhooks=public_url is not None,
        )
        self.providers.register("vendor", None, [spec])  # type: ignore[arg-type]
        self.bell = Bell()
        self.jobs = self.process("a")

    def process(self, owner: str) -> Jobs:
        """Another process on another machine, with its own view of time but the same clock."""
        jobs = Jobs(
            self.database,
            self.owner,
            self.providers,
            self.config,
            clock=self.clock,  # type: ignore[arg-type]
            public_url=self.public_url,
        )
        jobs._store.owner = f"host-{owner}:1:1"
        jobs.backend = self.bell
        jobs.register([self.kind()])
        return jobs

    def kind(self) -> JobKind:
        async def request(job: dict[str, Any]) -> GenerationRequest:
            if self.on_request:
                await self.on_request()
            return GenerationRequest(job_id="overwritten", params=job["input"])

        async def accept(job: dict[str, Any], generation: Generation, late: bool) -> dict[str, Any]:
            if self.on_accept:
                await self.on_accept()
            self.accepted.append((job["_id"], late))
            return {"result_asset_ids": [f"asset-{job['_id']}"]}

        return JobKind("image.generate", "Draw", "image", request, accept, poll_s=1.0, deadline_s=900)

    def order(self, **fields: Any) -> JobOrder:
        target = {"type": "shot", "id": "s1", "slot": "panel"}
        return JobOrder("image.generate", **{"project_id": "p1", "target": target, **fields})

    async def submit(self, **fields: Any) -> str:
        return (await self.jobs.submit(ACTOR, self.order(**fields)))["_id"]

    async def job(self, job_id: str) -> dict[str, Any]:
        found = await self.database["jobs"].get(job_id)
        assert found is not None
        return found

    async def step(self, job_id: str, jobs: Jobs | None = None) -> dict[str, Any]:
        await (jobs or self.jobs).step(job_id)
        return await self.job(job_id)

    async def play(self, limit: int = 60) -> None:
        """Follow every ring, turning the clock to it, until nobody rings."""
        for _ in range(limit):
            if not self.bell.rings:
                return
            job_id, delay_s = self.bell.rings.pop(0)
            self.clock.ms += int(delay_s * 1000)
            await self.jobs.step(job_id)
        pytest.fail("the bell never stops")

    async def scan(self, jobs: Jobs | None = None) -> list[str]:
        """Scan as a worker would, stepping what is found; returns the ids."""
        jobs = jobs or self.jobs
        found: list[str] = []

        async def note(job_id: str, delay_s: float = 0.0, priority: int = 0) -> None:
            found.append(job_id)

        jobs._local.enqueue = note  # type: ignore[method-assign]
        await jobs._scanner.scan()
        for job_id in found:
            await jobs.step(job_id)
        return found


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def local() -> World:
    """A world whose provider takes the same id twice for once."""
    return World(idempotent=True)


@pytest.fixture
def make_world() -> type[World]:
    return World


@pytest.fixture
def say() -> Any:
    return types.SimpleNamespace(done=done, running=running, failed=failed)
