from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from studio import (
    Actor,
    Credentials,
    ForbiddenError,
    Permission,
    PluginContext,
    ProviderUnavailableError,
)
from studio.testing import InMemoryDatabase
from studio.testing.kit import Services
from studio_auth.keys import ApiKeyService, key_shown
from studio_auth.otp import OtpService
from studio_auth.plugin import Plugin
from studio_auth.service import AccountService
from studio_auth.settings import AuthSettings
from studio_auth.tokens import Tokens
from studio_auth.watch import RevocationWatch
from studio_mailer.api import Mails

START_MS = 1_800_000_000_000


class Yielding:
    """A repository that lets others go first before each call, as one behind a network does."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            result = await getattr(self._inner, name)(*args, **kwargs)
            await asyncio.sleep(0)
            return result

        return call


@dataclass
class Clock:
    ms: int = START_MS

    def __call__(self) -> int:
        return self.ms

    def pass_s(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@dataclass
class Post:
    """A mailer that keeps what it sends, or fails."""

    mails: list[Any] = field(default_factory=list)
    away: bool = False

    async def send_now(self, template, to, values, *, key):
        assert template == "otp"
        if self.away:
            raise ProviderUnavailableError("The post is closed.")
        self.mails.append(SimpleNamespace(to=to, text=values["code"], key=key))

    def code_for(self, email: str) -> str:
        text = next(mail.text for mail in reversed(self.mails) if mail.to == email)
        return re.search(r"\b\d{6,10}\b", text)[0]


@dataclass
class Sockets:
    cut: list[tuple[str, str | None]] = field(default_factory=list)

    async def disconnect(self, user_id, session_id=None):
        self.cut.append((user_id, session_id))


class Judge:
    """Platform rights are an admin's."""

    async def require(self, actor, permission, project_id=None):
        if actor.platform_role != "admin":
            raise ForbiddenError(permission)


class House:
    """The account services on a database of their own, with a clock to turn."""

    def __init__(self, environment: str = "test", database: Any = None, **changed: Any) -> None:
        self.settings = AuthSettings(secret="s" * 40, **changed)
        self.clock, self.post, self.sockets = Clock(), Post(), Sockets()
        self.database = database or InMemoryDatabase(clock=self.clock)
        self.database.declare([("auth", c) for c in Plugin().register_collections(None)])
        services = Services()
        services.settings = SimpleNamespace(environment=environment)
        services.database = {
            name: Yielding(self.database[name])
            for name in ("users", "sessions", "otp_challenges", "api_keys")
        }
        services.realtime = self.sockets
        services.permissions = {
            permission.name: permission
            for permission in (
                Permission("story:read", "Read"),
                Permission("story:write", "Write"),
                Permission("platform:operate", "Operate", scope="platform"),
            )
        }
        services.auth = Judge()
        services.provided[Mails] = ("mailer", self.post)
        ctx = PluginContext("auth", services, self.settings, structlog.get_logger())
        self.tokens = Tokens(self.settings, clock=self.clock)
        self.accounts = AccountService(ctx, self.settings, self.tokens, self.clock)
        self.keys = ApiKeyService(ctx, self.accounts, self.clock)
        self.ctx = ctx
        memories = {"sessions": self.accounts.memory, "api_keys": self.keys.memory}
        self.watch = RevocationWatch(ctx, memories, self.clock)
        self.otp = OtpService(ctx, self.settings, self.tokens.pepper, self.clock)

    async def code(self, email: str) -> str:
        await self.otp.request_otp(email, "192.0.2.1")
        return self.post.code_for(email)

    async def who(self, access_token: str) -> Actor | None:
        credentials = Credentials(f"Bearer {access_token}")
        key = key_shown(credentials)
        return await (self.keys.authenticate(key) if key else self.accounts.authenticate(credentials))


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def build_house() -> type[House]:
    return House
