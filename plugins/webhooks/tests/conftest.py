"""A vendor that signs by Standard Webhooks, a clock to turn, and a whole Studio that the vendor calls."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import sys
import types
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from standardwebhooks.webhooks import Webhook

from studio import (
    Actor,
    BadRequestError,
    Estimate,
    Generation,
    GenerationRequest,
    JobKind,
    JobOrder,
    PluginContext,
    ProviderSpec,
    WebhookCall,
    WebhookNews,
    verify_standard_webhook,
)
from studio.testing import InMemoryDatabase
from studio.testing.client import serving
from studio.testing.kit import HttpClients, Metrics, Services, get_logger
from studio_webhooks.endpoints import EndpointService
from studio_webhooks.hearing import FIELDS, Hearing
from studio_webhooks.outbox import DELIVERIES, Outbox
from studio_webhooks.plugin import COLLECTIONS
from studio_webhooks.sending import Sender
from studio_webhooks.service import INBOX, InboxService
from studio_webhooks.settings import WebhooksSettings
from studio_webhooks.worker import Worker

START_MS = 1_800_000_000_000
SECRET, OTHER = (f"whsec_{base64.b64encode(letter * 32).decode()}" for letter in (b"k", b"o"))
MODULE = "fake_calling_vendor"


@dataclass
class Clock:
    ms: int = START_MS

    def __call__(self) -> int:
        return self.ms

    def pass_s(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


def signed(
    body: bytes, *, at_s: int | None = None, forged: bool = False, delivery: str = ""
) -> dict[str, str]:
    """Sign as the vendor does: a `Sign` of the forgeries."""
    at = datetime.now(UTC) if at_s is None else datetime.fromtimestamp(at_s, UTC)
    name = delivery or f"msg_{next(NUMBERS)}"
    signature = Webhook(OTHER if forged else SECRET).sign(name, at, body.decode())
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


NUMBERS = count(1)


class CallingVendor:
    """Draws nothing by itself: its jobs end when somebody calls."""

    trouble: Exception | None = None
    parses: list[WebhookCall]
    requests: list[Any]
    polls = 0

    def __init__(self, ctx: Any = None) -> None:
        self.parses, self.requests = [], []

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        if self.trouble:
            raise self.trouble
        delivery = verify_standard_webhook(call, SECRET)
        self.parses.append(call)
        try:
            said = json.loads(call.body)
            job = said.get("job")
            state = said["state"] if job else None
        except (ValueError, KeyError, AttributeError) as error:
            raise BadRequestError("The body is none of ours.") from error
        generation = None
        if state:
            data = {"note": "from the call"} if state == "succeeded" else {}
            generation = Generation(provider_job_id=job, state=state, percent=said.get("percent"), data=data)
        return WebhookNews(
            delivery_id=delivery, kind=said.get("type", "call"), provider_job_id=job, generation=generation
        )

    async def submit(self, request: Any) -> Generation:
        self.requests.append(request)
        return Generation(provider_job_id=f"v-{request.job_id}")

    async def poll(self, provider_job_id: str) -> Generation:
        self.polls += 1
        return Generation(provider_job_id=provider_job_id, retry_after_s=3600)

    async def cancel(self, provider_job_id: str) -> bool:
        return False

    def estimate(self, request: Any) -> Estimate:
        return Estimate(cost_uusd=0)


@dataclass
class FakeJobs:
    """What the kernel's jobs would say; `heard` holds every question."""

    answer: Any = "heard"
    known: dict[str, Any] = field(default_factory=dict)
    heard: list[tuple[str, WebhookNews, str | None]] = field(default_factory=list)

    async def hear(self, provider, news, token=None):
        self.heard.append((provider, news, token))
        answer = self.known.get(news.provider_job_id, self.answer)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class FakeActivity:
    logged: list[Any] = field(default_factory=list)
    actions: dict[str, Any] = field(default_factory=dict)

    def log_activity(self, project_id, actor, action, target=None, params=None, job_id=None):
        self.logged.append((project_id, actor.user_id, action, target, params))


class House:
    """Both boxes in one process; `database` may be shared with another, or live on after it."""

    def __init__(self, database=None, clock=None, jobs=None, vendor=None, **changed):
        self.clock, self.jobs = clock or Clock(), jobs or FakeJobs()
        self.database = database or InMemoryDatabase(clock=self.clock)
        self.database.declare([("webhooks", c) for c in COLLECTIONS])
        self.settings = WebhooksSettings(**changed)
        self.vendor = vendor or CallingVendor()
        self.there = {"vendor"}
        self.activity = FakeActivity(
            actions={"story.created": SimpleNamespace(code="story.created", label="Made", category="story")}
        )
        services = Services()
        services.database, services.jobs, services.activity = self.database, self.jobs, self.activity
        services.providers = SimpleNamespace(
            webhook_parser=lambda name: self.vendor if name in self.there else None
        )
        services.http = self.http = HttpClients(Metrics())
        self.ctx = PluginContext("webhooks", services, self.settings, structlog.get_logger())
        self.inbox = InboxService(self.ctx, self.settings, self.clock)
        self.hearing = Hearing(self.ctx, self.settings, self.clock)
        self.endpoints = EndpointService(self.ctx, self.settings, self.clock)
        self.outbox = Outbox(self.ctx, self.settings, self.endpoints, self.clock)
        self.sender = Sender(
            self.ctx, self.settings, self.endpoints, clock=self.clock, chance=lambda low, high: 1.0
        )
        more = {"scan_s": 0.05, "clock": self.clock}
        self.heard = Worker(self.ctx, INBOX, self.hearing.handle, limit=8, lease_s=60, fields=FIELDS, **more)
        self.sent = Worker(
            self.ctx, DELIVERIES, self.sender.handle, limit=self.settings.deliveries, lease_s=60, **more
        )
        self.calls, self.deliveries = self.database[INBOX], self.database[DELIVERIES]

    async def call(
        self, body=b'{"job":"v-1","state":"succeeded"}', *, headers=None, query="", remote="9.9.9.9", **sign
    ):
        """Let the vendor call, as far as the inbox."""
        headers = {"content-type": "application/json", **(headers or signed(body, **sign))}
        call = WebhookCall(
            path="/api/webhooks/vendor", query=query, headers=headers, body=body, received_at=self.clock()
        )
        self.inbox.admit("vendor", remote)
        return await self.inbox.receive("vendor", "", call, remote)

    async def only(self):
        """Return the one call of the inbox."""
        (found,) = await self.calls.find({})
        return found


@pytest.fixture
async def build_house():
    made = []

    def build(*given, **changed):
        made.append(House(*given, **changed))
        return made[-1]

    yield build
    for house in made:
        await house.ctx.close()
        await house.http.close()


@pytest.fixture
def house(build_house):
    return build_house()


@pytest.fixture(name="sign")
def sign_of():
    return signed


def job_kind(accepted):
    """Return a kind whose results go into a list."""

    async def request(job):
        return GenerationRequest(job_id="overwritten")

    async def accept(job, generation, late):
        accepted.append((job["_id"], generation.data, late))
        return {"result_asset_ids": []}

    return JobKind("test.call", "Called", "image", request, accept, poll_s=3600, deadline_s=7200)


async def order(client, project_id="p1"):
    """Order a job of the calling vendor, and return it once the vendor has it."""
    jobs = client.studio.services.jobs
    wanted = JobOrder("test.call", project_id, {"type": "shot", "id": "s1", "slot": "x"}, provider="vendor")
    job = await jobs.submit(Actor("ann"), wanted)
    return await until(client, job["_id"], "submitted")


async def until(client, job_id, state):
    async with asyncio.timeout(20):
        while (job := await client.studio.services.jobs.get(job_id))["state"] != state:
            await asyncio.sleep(0.01)
    return job


@asynccontextmanager
async def studio_with_vendor(folder, database=None, **more):
    """Serve a whole Studio that has the calling vendor for the capability "image"."""
    async with serving(folder, database, **more) as client:
        vendor = CallingVendor()
        module = types.ModuleType(MODULE)
        module.CallingVendor = lambda ctx: vendor
        sys.modules[MODULE] = module
        ctx = PluginContext("test", client.studio.services, None, get_logger("test"))
        target = f"{MODULE}:CallingVendor"
        specs = [
            ProviderSpec("vendor", capability, target, priority=1, webhooks=True)
            for capability in ("image", "voice")
        ]
        specs.append(ProviderSpec("silent", "image", target))
        specs.append(ProviderSpec("keyless", "image", target, webhooks=True, missing="set its key"))
        client.studio.services.providers.register("test", ctx, specs)
        client.vendor, client.accepted = vendor, []
        client.studio.services.jobs.register([job_kind(client.accepted)])
        yield client


@pytest.fixture(scope="module")
async def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("webhooks")
    more = {
        "STUDIO_AUTH__ADMINS": "root@example.org",
        "STUDIO_SERVER__PUBLIC_URL": "https://studio.example.com",
    }
    more |= {"STUDIO_WEBHOOKS__REFUSED_CALLS": "100000", "STUDIO_WEBHOOKS__PRIVATE_HOSTS": "127.0.0.1"}
    more |= {"STUDIO_WEBHOOKS__RETRY_S": "0.05", "STUDIO_WEBHOOKS__SCAN_S": "0.05"}
    async with studio_with_vendor(folder, **more) as client:
        yield client


@pytest.fixture(scope="module")
async def root(studio):
    return await studio.sign_in("root@example.org")


@pytest.fixture(name="order")
def order_of():
    return order


@pytest.fixture(name="until")
def until_of():
    return until


@pytest.fixture
def serve():
    return studio_with_vendor


@pytest.fixture
def receiver():
    """Return another system; its module is loaded by path, as test folders are no packages."""
    path = Path(__file__).with_name("receiver.py")
    spec = importlib.util.spec_from_file_location("webhook_receiver", path)
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module.Receiver()


@pytest.fixture
def secret():
    return SECRET
