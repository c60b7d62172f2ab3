"""Wires the document into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Manifest, PluginContext, Route, StudioHooks, hookimpl
from studio_openapi.commands import build_command
from studio_openapi.routes import routes_for
from studio_openapi.service import OpenApi
from studio_openapi.settings import OpenApiSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import typer


class Plugin(StudioHooks):
    """What front ends are generated from."""

    manifest = Manifest(name="openapi", settings=OpenApiSettings)

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the document's route, for whom the configuration shows it."""
        return routes_for(ctx.settings(OpenApiSettings).access)

    @hookimpl
    def register_commands(self, ctx: PluginContext) -> list[typer.Typer]:
        """Return `studio openapi`."""
        return [build_command(OpenApi(ctx))]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the document."""
        ctx.provide(OpenApi, OpenApi(ctx))
        yield
