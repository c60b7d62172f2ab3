"""A real server over a fake auth and the in-memory database."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from studio import Actor, ForbiddenError, NotFoundError, Permission, UnauthenticatedError
from studio.settings import ServerSettings, Settings, WebSettings
from studio.testing.memory import InMemoryDatabase
from studio.web import middleware
from studio.web.deps import WebDeps
from studio.web.middleware import build_application
from studio.web.typed import bind

PERMISSIONS = {
    "story:read": Permission("story:read", "Read stories"),
    "story:write": Permission("story:write", "Write stories"),
    "platform:admin": Permission("platform:admin", "Run the platform", scope="platform"),
}
ACTORS = {
    "ann": Actor("ann"),
    "bob": Actor("bob"),
    "admin": Actor("admin", platform_role="admin"),
    "key": Actor("ann", kind="api_key", scopes=frozenset({"story:read"})),
}
MEMBERS = {
    "ann": {"p1": {"story:read", "story:write"}},
    "bob": {"p1": {"story:read"}, "p2": {"story:read"}},
}


class FakeAuth:
    """Tokens are names; Ann may read and write in p1, Bob only read, in p1 and p2."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        self.shown: list[Any] = []

    async def authenticate(self, credentials: Any) -> Actor:
        self.shown.append(credentials)
        token = (credentials.authorization or "").removeprefix("Bearer ") or credentials.cookies.get(
            "session"
        )
        if token not in ACTORS:
            raise UnauthenticatedError
        return ACTORS[token]

    async def require(self, actor: Actor, permission: str, project_id: str | None = None) -> None:
        self.asked.append((actor.user_id, permission, project_id))
        if project_id is None and actor.platform_role == "admin":
            return
        held = MEMBERS.get(actor.user_id, {}).get(project_id or "", set())
        if project_id and not held:
            raise NotFoundError
        if permission not in held:
            raise ForbiddenError


@dataclass
class House:
    """One served set of routes and what it reported."""

    client: TestClient[Any, Any]
    auth: FakeAuth
    observed: list[tuple[str, str, int, float]]
    errors: list[BaseException]

    async def call(self, method: str, path: str, who: str | None = "ann", **given: Any) -> SimpleNamespace:
        headers = {**({"Authorization": f"Bearer {who}"} if who else {}), **given.pop("headers", {})}
        async with self.client.request(
            method, path, headers=headers, allow_redirects=False, **given
        ) as answer:
            body = await answer.read()
            data = await answer.json(content_type=None) if "json" in answer.content_type and body else None
            return SimpleNamespace(
                status=answer.status, data=data, body=body, headers=answer.headers, type=answer.content_type
            )


@pytest.fixture
def context():
    """A plugin's context over an in-memory database."""

    def make(name: str = "tales") -> Any:
        return SimpleNamespace(name=name, database=InMemoryDatabase())

    return make


@pytest.fixture
async def serve(context, monkeypatch):
    clients: list[TestClient[Any, Any]] = []

    async def start(
        *routes: Any, unavailable=None, middlewares=(), web=None, proxies=(), extend=None, **given
    ) -> House:
        auth, ctx, observed, errors = FakeAuth(), context(), [], []
        monkeypatch.setattr(middleware, "_log", lambda error, request: errors.append(error))
        deps = WebDeps(
            auth,
            Settings(web=web or WebSettings(), server=ServerSettings(trusted_proxies=list(proxies))),
            PERMISSIONS,
            observe=lambda *figures: observed.append(figures),
            **given,
        )
        bound = [("tales", route, bind(route, ctx, deps, middlewares)) for route in routes]
        app = build_application(bound, deps=deps, unavailable=unavailable)
        if extend:
            extend(app)
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return House(client, auth, observed, errors)

    yield start
    for client in clients:
        await client.close()
