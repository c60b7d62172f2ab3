"""Strangers at the door: plugins in a temporary folder, found by `importlib.metadata` as installed ones are."""

from __future__ import annotations

import os
import sys
import textwrap
from contextlib import asynccontextmanager
from itertools import count

import pytest
from aiohttp import ClientSession, ClientTimeout
from aiohttp.test_utils import TestServer

from studio.app import Studio, running
from studio.testing import InMemoryDatabase
from studio.testing.installed import offer

_numbers = count()
GOOD = """
@hookimpl
def register_routes(self, ctx):
    async def hello(request):
        return Hello(text="hello")
    return [Route("GET", "/api/good", hello, PUBLIC, returns=Hello)]
"""
ROOT = """
@hookimpl
async def authenticate(self, ctx, credentials):
    return Actor("root", platform_role="admin") if credentials.authorization else None
@hookimpl
async def authorize(self, ctx, query):
    return Decision(allowed=True)
"""
HELLO = "class Hello(Model):\n    text: str\n"


class House:
    """A served Studio."""

    def __init__(self, studio, session, base):
        self.studio, self._session, self._base = studio, session, base

    async def get(self, path, *, root=True):
        headers = {"Authorization": "Bearer root"} if root else {}
        async with self._session.get(self._base + path, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def plugin(self, name):
        _, body = await self.get("/api/plugins")
        assert "items" in body, body
        return next(item for item in body["items"] if item["name"] == name)


class Door:
    """Writes distributions into one folder on the path and builds a Studio over exactly these."""

    def __init__(self, folder):
        self.folder, self.names, self.modules = folder, [], []
        self.environ = {
            "STUDIO_ENV": "test",
            "STUDIO_CONFIG_DIR": str(folder / "config"),
            "STUDIO_LOGGING__DIRECTORY": str(folder / "errors"),
            "STUDIO_OWNERS__AUTHENTICATE": "root",
            "STUDIO_OWNERS__AUTHORIZE": "root",
            "STUDIO_OWNERS__COST": "root",
            "STUDIO_SERVER__SHUTDOWN_S": "2",
            "STUDIO_PLUGINS__START_DEADLINE_S": "5",
        }

    def module(self, name, source):
        """Write one plugin module and return its import name."""
        module = f"door_{next(_numbers)}_{name}"
        (self.folder / f"{module}.py").write_text(source)
        self.modules.append(module)
        return module

    def install(self, name, module, *, prefixes=(), distribution=None, target="Plugin"):
        """Write the metadata of a distribution that offers `module` as the plugin `name`."""
        distribution = distribution or f"stranger-{name}"
        offer(
            self.folder,
            name,
            f"{module}:{target}",
            prefixes=prefixes,
            distribution=distribution,
            version="1.2",
        )
        if name not in self.names:
            self.names.append(name)

    def plugin(self, name, body="pass", *, before="", manifest="", prefixes=(), distribution=None):
        """Write and install a plugin class with this body."""
        source = (
            f"from contextlib import asynccontextmanager\nimport asyncio, sys\nfrom studio import *\n\n{HELLO}\n"
            f"{textwrap.dedent(before)}\nclass Plugin(StudioHooks):\n    manifest = Manifest({name!r}{manifest})\n"
            + textwrap.indent(textwrap.dedent(body), "    ")
        )
        module = self.module(name, source)
        self.install(name, module, prefixes=prefixes, distribution=distribution)
        return module

    def company(self):
        """Install an owner that knows one administrator, and a plugin that behaves."""
        self.plugin("root", ROOT)
        self.plugin("good", GOOD, prefixes=["/api/good"])

    def studio(self, **environ):
        variables = {"STUDIO_PLUGINS__ENABLED": ",".join(self.names), **self.environ, **environ}
        return Studio(environ=variables, database=InMemoryDatabase())

    def reason(self, name):
        """Return (state, phase, error) of a plugin before anything starts."""
        record = self.studio().loader.records[name]
        return str(record.state), record.phase, record.error

    @asynccontextmanager
    async def open(self, studio=None, **environ):
        studio = studio or self.studio(**environ)
        async with (
            running(studio),
            TestServer(studio.app) as server,
            ClientSession(timeout=ClientTimeout(30)) as session,
        ):
            yield House(studio, session, str(server.make_url("")).rstrip("/"))


@pytest.fixture
def door(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("STUDIO_TRACE_HOOKS", raising=False)
    for name in [name for name in os.environ if name.startswith("STUDIO_")]:
        monkeypatch.delenv(name)
    door = Door(tmp_path)
    yield door
    for module in door.modules:
        sys.modules.pop(module, None)
