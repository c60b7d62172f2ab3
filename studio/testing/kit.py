"""The kernel's parts that a plugin's own tests may take apart: contexts, settings, the web room, a whole application.

Not imported by the pytest plugin, which must cost nothing where nobody asks.
"""

from __future__ import annotations

from studio.app import Studio, running
from studio.http_client import HttpClients
from studio.plugins.context import Services
from studio.providers.registry import Providers
from studio.settings import Settings, WebSettings
from studio.telemetry import Metrics, get_logger
from studio.web.deps import WebDeps
from studio.web.middleware import build_application
from studio.web.typed import bind

__all__ = [
    "HttpClients",
    "Metrics",
    "Providers",
    "Services",
    "Settings",
    "Studio",
    "WebDeps",
    "WebSettings",
    "bind",
    "build_application",
    "get_logger",
    "running",
]
