"""Wires the console into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Manifest, PluginContext, Route, StudioHooks, hookimpl
from studio_console.handlers import HERE
from studio_console.routes import BASE, ROUTES
from studio_console.security import guard
from studio_console.static_files import StaticFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from studio import Middleware


class Plugin(StudioHooks):
    """One page, its files, and the outbox of a laptop."""

    manifest = Manifest(name="console")

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the pages and their files."""
        return ROUTES

    @hookimpl
    def register_middlewares(self, ctx: PluginContext) -> list[Middleware]:
        """Return the one that forbids the page everything it does not need."""
        return [guard]

    @hookimpl
    def register_templates(self, ctx: PluginContext) -> list[Path]:
        """Return the folder of both pages."""
        return [HERE / "templates"]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Read the page's files once."""
        ctx.provide(StaticFiles, StaticFiles(BASE, HERE / "static"))
        yield
