"""Parse, one call of the service, reply."""

from __future__ import annotations

from studio import Doc, Request
from studio_weather.models import WeatherUpdate
from studio_weather.service import WeatherService


async def get_weather(request: Request, project_id: str) -> Doc:
    """Return the weather over a project."""
    return await request.service(WeatherService).get_weather(project_id)


async def set_weather(request: Request, project_id: str, body: WeatherUpdate) -> Doc:
    """Change the weather over a project."""
    return await request.service(WeatherService).set_weather(project_id, body.kind, request.actor)
