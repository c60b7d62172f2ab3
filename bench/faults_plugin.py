"""What `provider_faults.py` puts into a Studio: three providers, a kind of job, and routes to drive and watch them.

`well`, `calm` and `broken` are chat models of the plugin `openai`; BENCH_WELL and BENCH_BROKEN name their vendors
(`calm` is asked where `broken` is, under its own circuit and limits).
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import (
    PUBLIC,
    Actor,
    ChatMessage,
    ChatRequest,
    Doc,
    JobKind,
    JobOrder,
    Manifest,
    Model,
    PluginContext,
    ProviderSpec,
    Request,
    Route,
    StudioHooks,
    hookimpl,
    new_id,
)
from studio.telemetry import get_logger
from studio_openai.compatible import OpenaiCompatibleChat
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from studio import Generation

CLIENT_S, DEADLINE_S, JOB_S, PATIENT_S = 2.0, 2.5, 6.0, 30.0
"""Total times: of a call, of what the kernel lets a provider take, of a job from its first call on."""
STEADY = "steady"
late_s = [0.0]
"""By how much the latest call of `broken` passed DEADLINE_S."""


class Figures(Model):
    """Memory of this process in MiB (VmRSS), as it is and after `gc.collect` and `malloc_trim`; seconds."""

    rss: float
    trimmed: float
    late_s: float
    cpu_s: float


class Ordered(Model):
    batch_id: str


class Ended(Model):
    """How the jobs of a batch ended, by error code or state; `open` have not; the longest took `worst_s`."""

    open: int
    ended: dict[str, int]
    worst_s: float


class Orders(Model):
    provider: str
    count: int


def chat() -> ChatRequest:
    return ChatRequest(job_id=new_id(), model="m", messages=(ChatMessage(role="user", text="A lamp?"),))


class Chat(OpenaiCompatibleChat):
    """A model of the vendor that the environment names for a provider."""

    def __init__(self, ctx: PluginContext, name: str) -> None:
        url = os.environ["BENCH_WELL" if name == "well" else "BENCH_BROKEN"]
        chosen = {"base_url": f"{url}/{name}/v1", "allow_private": True, "chat_models": ["m"]}
        settings = OpenaiSettings(**chosen, chat_deadline_s=CLIENT_S if name == "broken" else PATIENT_S)
        super().__init__(PluginContext(name, ctx._services, settings, get_logger("bench")))  # noqa: SLF001 - three settings, one plugin


def well(ctx: PluginContext) -> Chat:
    return Chat(ctx, "well")


def calm(ctx: PluginContext) -> Chat:
    return Chat(ctx, "calm")


def broken(ctx: PluginContext) -> Timed:
    return Timed(ctx, "broken")


class Timed(Chat):
    """Notes how late it is."""

    async def submit(self, request: ChatRequest) -> Generation:
        began = time.perf_counter()
        try:
            return await super().submit(request)
        finally:
            late_s[0] = max(late_s[0], time.perf_counter() - began - DEADLINE_S)


async def ask(request: Request) -> None:
    """Ask the healthy provider at once."""
    await request.ctx.providers.get("chat", "well").submit(chat())


async def order(request: Request, body: Orders) -> Ordered:
    """Order jobs of one provider."""
    batch = new_id()
    orders = [
        JobOrder("bench.chat", STEADY, {"type": "shot", "id": str(n)}, provider=body.provider, batch_id=batch)
        for n in range(body.count)
    ]
    await request.ctx.jobs.submit_many(Actor("ada"), orders)
    return Ordered(batch_id=batch)


async def ended(request: Request, batch_id: str) -> Ended:
    """Count the jobs of a batch."""
    fields = ("state", "error", "created_at", "finished_at")
    jobs = await request.ctx.database["jobs"].find({"batch_id": batch_id}, fields=fields)
    done = [job for job in jobs if "finished_at" in job]
    codes = Counter(job["error"]["code"] if job.get("error") else job["state"] for job in done)
    worst = max((job["finished_at"] - job["created_at"] for job in done), default=0) / 1000
    return Ended(open=len(jobs) - len(done), ended=dict(codes), worst_s=worst)


def rss_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def figures(_: Request) -> Figures:
    """Return memory and lateness."""
    rss = rss_mib()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return Figures(rss=rss, trimmed=rss_mib(), late_s=late_s[0], cpu_s=time.process_time())


async def request_of(_: Doc) -> ChatRequest:
    return chat()


async def accept(*_: Any) -> Doc:
    return {"result_asset_ids": []}


class Plugin(StudioHooks):
    """The three providers and their jobs."""

    manifest = Manifest(name="bench")

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> list[ProviderSpec]:
        targets = {"well": PATIENT_S, "calm": PATIENT_S, "broken": DEADLINE_S}
        return [
            ProviderSpec(name, "chat", f"faults_plugin:{name}", deadline_s=deadline_s)
            for name, deadline_s in targets.items()
        ]

    @hookimpl
    def register_jobs(self, ctx: PluginContext) -> list[JobKind]:
        return [JobKind("bench.chat", "Ask", "chat", request_of, accept, deadline_s=JOB_S)]

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        once: dict[str, Any] = {"rate": "none"}
        return [
            Route("POST", "/bench/ask", ask, PUBLIC, status=204, **once),
            Route("POST", "/bench/jobs", order, PUBLIC, returns=Ordered, **once),
            Route("GET", "/bench/jobs/{batch_id}", ended, PUBLIC, returns=Ended, **once),
            Route("GET", "/bench/figures", figures, PUBLIC, returns=Figures, **once),
        ]
