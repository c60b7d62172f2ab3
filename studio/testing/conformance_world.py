"""What the conformance suite runs in: real jobs on the in-memory database, a clock to turn, and a provider's plugin.

The provider is the real one and talks HTTP to its `FakeVendor`; time between polls is a number, not a wait.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from studio.auth import Actor
from studio.hooks import StudioHooks
from studio.jobs.contract import TERMINAL, CostDecision, JobKind, JobOrder
from studio.jobs.service import Jobs
from studio.jobs.settings import JobsSettings
from studio.jobs.store import JOBS_COLLECTION
from studio.plugins.context import PluginContext
from studio.providers.registry import Providers
from studio.testing.kit import HttpClients, Metrics, Services, Settings, get_logger
from studio.testing.memory import InMemoryDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pydantic import BaseModel

    from studio.model import Doc
    from studio.providers.contract import Generation, ProviderSpec
    from studio.providers.requests import GenerationRequest
    from studio.providers.services import WebhookCall
    from studio.providers.wrapper import BoundProvider
    from studio.testing.providers import Outcome, ProviderCase
    from studio.testing.vendor import FakeVendor

PUBLIC_URL = "https://studio.example"
PLAY_S = 20.0
"""How long real work (a local provider's) may take."""
KIND = "conformance.generate"


class KilledError(BaseException):
    """What kill -9 is to the code: nothing after it runs."""


class Ledger:
    """The owner of cost and the listener of `job_changed`: allows everything and writes it down."""

    def __init__(self) -> None:
        self.settled: dict[tuple[str, int, str], Any] = {}
        self.told: list[Doc] = []

    async def first(self, hook: str, payload: Any) -> Any:
        """Answer `hold_cost` and `settle_cost`."""
        if hook == "hold_cost":
            return CostDecision(allowed=True)
        self.settled.setdefault((payload.job_id, payload.attempt, payload.kind), payload)
        return True

    def notify(self, hook: str, payload: Doc) -> None:
        """Hear of a job that changed."""
        if hook == "job_changed":
            self.told.append(payload)


class Bell:
    """An engine that notes rings; `World.play` follows them."""

    def __init__(self) -> None:
        self.rings: list[tuple[str, float]] = []

    async def start(self, step: Any) -> None:
        """Begin nothing."""

    async def enqueue(self, job_id: str, delay_s: float = 0.0, priority: int = 0) -> None:  # noqa: ARG002 - the protocol's signature
        """Note a ring."""
        self.rings.append((job_id, delay_s))

    async def stop(self) -> None:
        """Forget what rang."""
        self.rings.clear()


class World:
    """One provider, one job at a time. `outcome` is what the request asks the vendor for."""

    def __init__(self, case: ProviderCase, vendor: FakeVendor, folder: Path) -> None:
        self.case, self.vendor, self.folder = case, vendor, folder
        self.outcome: Outcome = "succeeded"
        self.now_ms, self.ledger, self.bell = 1_800_000_000_000, Ledger(), Bell()
        self.accepted: list[tuple[str, bool]] = []
        self._ended: set[str] = set()
        self.database = InMemoryDatabase(lambda: self.now_ms)
        self.database.declare([("studio", JOBS_COLLECTION)])
        self.bound: BoundProvider
        self.jobs: Jobs

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """Start the plugin as the platform does, with this case's settings."""
        services = self._services = Services()
        services.settings, services.metrics, services.database = Settings(), Metrics(), self.database
        services.http = HttpClients(services.metrics)
        config = SimpleNamespace(jobs=JobsSettings(fallback=False))
        services.providers = self.providers = Providers(config, self.ledger, lambda: self.now_ms / 1000)  # type: ignore[arg-type]  # all that it reads
        plugin = self.case.plugin()
        name = plugin.manifest.name
        self.case.folder = self.folder
        ctx = self._context(self.case.settings(self.vendor))
        self.providers.register(name, ctx, self.specs(self.case.settings(self.vendor)))
        self.jobs = self.process()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(services.http.close)
            if type(plugin).lifespan is not StudioHooks.lifespan:
                await stack.enter_async_context(plugin.lifespan(ctx))
            self.bound = self.providers.get(self.case.capability, self.case.provider)
            yield self

    def _context(self, settings: BaseModel) -> PluginContext:
        name = self.case.plugin.manifest.name
        return PluginContext(name, self._services, settings, get_logger(name))

    def specs(self, settings: BaseModel) -> list[ProviderSpec]:
        """Return what the plugin declares of the case's capability under these settings."""
        found = self.case.plugin().register_providers(self._context(settings))
        return [spec for spec in found if spec.capability == self.case.capability]

    def process(self) -> Jobs:
        """Return the jobs of another process: it knows what is stored, and nothing else."""
        jobs = Jobs(
            self.database, self.ledger, self.providers, JobsSettings(fallback=False),  # type: ignore[arg-type]  # the hooks used here
            clock=lambda: self.now_ms, public_url=PUBLIC_URL,
        )  # fmt: skip
        kind = JobKind(KIND, "Conformance", self.case.capability, self._request, self._accept, deadline_s=1e6)
        jobs.backend = self.bell
        jobs.register([kind])
        return jobs

    async def _request(self, _: Doc) -> GenerationRequest:
        return self.case.request(self.outcome)

    async def _accept(self, job: Doc, generation: Generation, late: bool) -> dict[str, Any]:  # noqa: FBT001 - the shape of JobKind.accept
        self.accepted.append((job["_id"], late))
        return {"files": len(generation.files), "data": sorted(generation.data)}

    # ------------------------------------------------------------ what a test does

    async def order(self, outcome: Outcome = "succeeded") -> str:
        """Order a job; a vendor that answers at once is told before how it will end."""
        self.outcome = outcome
        if not self.case.poll_path:
            self.case.end(self.vendor, "", outcome)
        order = JobOrder(KIND, "p1", {"type": "shot", "id": "s1"}, provider=self.case.provider)
        return str((await self.jobs.submit(Actor("ada"), order))["_id"])

    async def submitted(self, outcome: Outcome = "succeeded") -> str:
        """Order a job and submit it."""
        job_id = await self.order(outcome)
        self.bell.rings.clear()
        await self.jobs.step(job_id)
        return job_id

    async def cancelled_while_submitting(self) -> str:
        """Order a job and cancel it when the vendor has answered `submit` and nobody has read the answer."""
        job_id = await self.order()
        target = self.bound._target  # noqa: SLF001 - the answer is held here, between the vendor and the job
        submit = target.submit

        async def answered(request: GenerationRequest) -> Generation:
            generation: Generation = await submit(request)
            while generation.state == "running":
                await asyncio.sleep(0.01)
                generation = await target.poll(generation.provider_job_id)
            await self.jobs.cancel(job_id)
            return generation

        target.submit = answered
        await self.jobs.step(job_id)
        return job_id

    async def finish(self, job_id: str, outcome: Outcome = "succeeded") -> None:
        """Let the vendor's work end, once per piece of work."""
        job = await self.job(job_id)
        vendor_id = job.get("provider_job_id", "")
        if self.case.poll_path and vendor_id and vendor_id not in self._ended:
            self._ended.add(vendor_id)
            self.case.end(self.vendor, vendor_id, outcome)

    async def job(self, job_id: str) -> Doc:
        """Return the job as it is stored."""
        return await self.jobs.get(job_id)

    async def play(self, job_id: str, outcome: Outcome = "succeeded") -> Doc:
        """Follow every ring, turning the clock, until nothing is left to do; the vendor's work ends meanwhile."""
        end = time.monotonic() + PLAY_S
        while time.monotonic() < end:
            job = await self.job(job_id)
            if job["state"] in TERMINAL and "next_at" not in job:
                return job
            await self.finish(job_id, outcome)
            ring, delay_s = self.bell.rings.pop(0) if self.bell.rings else (job_id, 1.0)
            self.now_ms += int(delay_s * 1000)
            await self.jobs.step(ring)
            await asyncio.sleep(0.002)  # real work goes on in real time
        raise AssertionError(f"the job is still {(await self.job(job_id))['state']} after {PLAY_S:g} s")

    async def hear(self, call: WebhookCall, token: str | None = None) -> str:
        """Verify a call with the provider and follow it, as the receiver of webhooks does."""
        news = await self.bound.parse_webhook(call)
        return await self.jobs.hear(self.bound.name, news, token)

    def submits(self) -> int:
        """Count the calls that start work."""
        return len(self.vendor.asked(self.case.submit_method, self.case.submit_path))

    def settlements(self, job_id: str) -> list[tuple[int, str]]:
        """Return (attempt, kind) of what was settled."""
        return [(attempt, kind) for found, attempt, kind in self.ledger.settled if found == job_id]
