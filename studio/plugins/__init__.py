"""Plugins: discovered by entry point, chosen before import, isolated in every phase, started in order."""

from __future__ import annotations

from studio.plugins.context import PluginContext, Services
from studio.plugins.manifest import Manifest
from studio.plugins.state import PluginRecord, PluginState

__all__ = ["Manifest", "PluginContext", "PluginRecord", "PluginState", "Services"]
