"""Who gets the document, over HTTP and on the command line."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import TestClient, TestServer
from typer.testing import CliRunner

from studio import PUBLIC, Actor, PluginContext, Route, UnauthenticatedError
from studio.testing.kit import Services, Settings, WebDeps, bind, build_application, get_logger
from studio_openapi.plugin import Plugin
from studio_openapi.settings import OpenApiSettings

pytestmark = pytest.mark.http
PATH = "/api/openapi.json"


class Auth:
    async def authenticate(self, credentials):
        if credentials.authorization != "Bearer ann":
            raise UnauthenticatedError
        return Actor("ann")


async def read_tale(request):
    """Read a tale."""


def context(access, others=()):
    services = Services()
    services.auth, services.settings = Auth(), Settings()
    ctx = PluginContext("openapi", services, OpenApiSettings(access=access), get_logger("openapi"))
    services.routes = lambda: [*others, *(("openapi", route) for route in Plugin().register_routes(ctx))]
    return ctx


@asynccontextmanager
async def house(access, others=()):
    plugin, ctx = Plugin(), context(access, others)
    deps = WebDeps(auth=Auth(), settings=Settings())
    app = build_application([(name, r, bind(r, ctx, deps)) for name, r in ctx.routes], deps=deps)
    async with plugin.lifespan(ctx), TestServer(app) as server, TestClient(server) as client:
        yield client


@pytest.mark.parametrize(
    ("access", "statuses"), [("public", (200, 200)), ("signed_in", (401, 200)), ("off", (404, 404))]
)
async def test_the_document_is_shown_to_whom_the_configuration_says(access, statuses):
    async with house(access) as client:
        stranger = await client.get(PATH)
        ann = await client.get(PATH, headers={"Authorization": "Bearer ann"})
    assert (stranger.status, ann.status) == statuses


async def test_the_document_has_the_routes_of_every_plugin():
    others = [("tales", Route("GET", "/api/tales", read_tale, PUBLIC))]
    async with house("public", others) as client:
        document = await (await client.get(PATH)).json()
    assert list(document["paths"]) == [PATH, "/api/tales"]
    assert document["paths"]["/api/tales"]["get"]["tags"] == ["tales"]


def test_the_command_prints_the_document_also_where_http_does_not_show_it():
    ctx = context("off", [("tales", Route("GET", "/api/tales", read_tale, PUBLIC))])
    (command,) = Plugin().register_commands(ctx)
    done = CliRunner().invoke(command, [])
    assert done.exit_code == 0
    assert done.stdout.endswith("}\n")
    assert list(json.loads(done.stdout)["paths"]) == ["/api/tales"]
