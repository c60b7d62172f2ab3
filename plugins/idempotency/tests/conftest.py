"""A real server over a fake auth and the in-memory database, whose keys this plugin keeps."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from studio import Actor, PluginContext, UnauthenticatedError
from studio.testing import InMemoryDatabase
from studio.testing.kit import Services, Settings, WebDeps, bind, build_application, get_logger
from studio_idempotency.plugin import Plugin


class Auth:
    """Tokens are names, and everybody may everything."""

    async def authenticate(self, credentials):
        name = (credentials.authorization or "").removeprefix("Bearer ")
        if name not in ("ann", "bob"):
            raise UnauthenticatedError
        return Actor(name)

    async def require(self, actor, permission, project_id=None):
        assert permission == "story:write"


@dataclass
class House:
    """One served set of routes, and the stored keys."""

    client: TestClient[Any, Any]
    keys: Any

    async def call(self, method, path, who="ann", **given):
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
async def serve():
    clients: list[TestClient[Any, Any]] = []

    async def start(*routes):
        plugin, services = Plugin(), Services()
        services.database = InMemoryDatabase()
        ctx = PluginContext("tales", services, None, get_logger("tales"))
        services.database.declare(
            [("idempotency", collection) for collection in plugin.register_collections(ctx)]
        )
        deps = WebDeps(Auth(), Settings(), run_once=plugin.idempotency_backend(ctx))
        app = build_application([("tales", route, bind(route, ctx, deps)) for route in routes], deps=deps)
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return House(client, services.database["idempotency_keys"])

    yield start
    for client in clients:
        await client.close()
