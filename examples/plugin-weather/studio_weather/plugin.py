"""Wires the weather into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import (
    ActivityAction,
    Collection,
    Event,
    Manifest,
    ModelSpec,
    Permission,
    ProviderSpec,
    StudioHooks,
    hookimpl,
)
from studio_weather.routes import ROUTES
from studio_weather.service import CHANGED, COLLECTION, WeatherService
from studio_weather.settings import WeatherSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import PluginContext, Route


class Plugin(StudioHooks):
    """Routes, two permissions, an activity, an event, and a provider of music."""

    manifest = Manifest(name="weather", settings=WeatherSettings)

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/weather."""
        return ROUTES

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        """Return the rights over the weather of a project."""
        return [
            Permission("weather:read", "See the weather"),
            Permission("weather:write", "Make the weather"),
        ]

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return the weather, one document for each project."""
        return [Collection(COLLECTION)]

    @hookimpl
    def register_activities(self, ctx: PluginContext) -> list[ActivityAction]:
        """Return what is logged."""
        return [ActivityAction(CHANGED, "made the weather {kind}", "weather")]

    @hookimpl
    def register_events(self, ctx: PluginContext) -> list[Event]:
        """Return what the project's members are told."""
        return [Event(CHANGED, "The weather over the project changed")]

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> list[ProviderSpec]:
        """Return the sounds, behind every other provider of music."""
        models = tuple(ModelSpec(kind, "free", 0) for kind in ("rain", "wind", "storm"))
        target = "studio_weather.sound:WeatherSounds"
        return [ProviderSpec("weather", "music", target, models, priority=900, idempotent_submit=True)]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the service."""
        ctx.provide(WeatherService, WeatherService(ctx))
        yield
