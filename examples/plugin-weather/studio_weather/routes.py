"""Method, path, handler, permission."""

from __future__ import annotations

from studio import Route
from studio_weather import handlers
from studio_weather.models import WeatherPublic

ROUTES = [
    Route("GET", "/api/weather/{project_id}", handlers.get_weather, "weather:read", returns=WeatherPublic),
    Route("PUT", "/api/weather/{project_id}", handlers.set_weather, "weather:write", returns=WeatherPublic),
]
