"""The outbox on a database of its own, with a clock to turn and a post office to close."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from studio import PluginContext, ProviderUnavailableError
from studio.testing import InMemoryDatabase
from studio.testing.kit import Services
from studio_mailer.delivery import Delivery
from studio_mailer.plugin import Plugin
from studio_mailer.rendering import Renderer
from studio_mailer.samples import SAMPLES
from studio_mailer.service import MailService
from studio_mailer.settings import MailerSettings

if TYPE_CHECKING:
    import asyncio

START_MS = 1_800_000_000_000


@dataclass
class Clock:
    ms: int = START_MS

    def __call__(self) -> int:
        return self.ms

    def pass_s(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@dataclass
class Post:
    """A mail provider that remembers keys, as a good one does; `troubles` are what the next calls raise."""

    sent: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    troubles: deque[Exception] = field(default_factory=deque)
    calls: int = 0
    gate: asyncio.Event | None = None
    name: str = "post"
    spec: Any = field(default_factory=lambda: SimpleNamespace(deadline_s=60.0))
    breaker: Any = field(default_factory=lambda: SimpleNamespace(wait_s=0.0))

    async def send(self, mail, *, idempotency_key):
        self.calls += 1
        if self.gate:
            await self.gate.wait()
        if self.troubles:
            raise self.troubles.popleft()
        if idempotency_key not in self.keys:
            self.keys.append(idempotency_key)
            self.sent.append(mail)
        return f"<{idempotency_key}@post>"


class Office:
    """One process of the installation; `database` may be shared with another."""

    def __init__(self, database=None, clock=None, post=None, **changed):
        self.clock, self.post = clock or Clock(), post or Post()
        self.database = database or InMemoryDatabase(clock=self.clock)
        self.database.declare([("mailer", c) for c in Plugin().register_collections(None)])
        self.settings = MailerSettings(**changed)
        self.open = True
        services = Services()
        services.database = self.database
        services.providers = SimpleNamespace(get=self._provider)
        ctx = PluginContext("mailer", services, self.settings, structlog.get_logger())
        self.renderer = Renderer("https://studio.example.com")
        self.mails = MailService(ctx, self.renderer, self.clock)
        self.delivery = Delivery(
            ctx, self.settings, self.renderer, clock=self.clock, chance=lambda low, high: high
        )
        self.box = self.database["mail_outbox"]

    def _provider(self, capability, *, steady):
        assert (capability, steady) == ("mail", True)
        if not self.open:
            raise ProviderUnavailableError("No post office here.")
        return self.post

    async def enqueue(self, key="k1", template="invitation", to="ann@example.org", **changed):
        await self.mails.enqueue(template, to, SAMPLES[template] | changed, key=key)
        return await self.box.find_one({"key": key})

    async def now(self, key="k1"):
        return await self.box.find_one({"key": key})


@pytest.fixture
def office():
    return Office()


@pytest.fixture
def build_office():
    return Office
