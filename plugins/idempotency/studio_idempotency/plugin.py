"""Wires the keys into the platform."""

from __future__ import annotations

from studio import Collection, Manifest, PluginContext, RunOnce, StudioHooks, hookimpl
from studio_idempotency.service import KEYS, run_once


class Plugin(StudioHooks):
    """Keeps `Idempotency-Key`s. Who switches it off gets 503 for every write that carries one."""

    manifest = Manifest("idempotency", required=True)

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return where the keys and the first answers are kept."""
        return [KEYS]

    @hookimpl
    def idempotency_backend(self, ctx: PluginContext) -> RunOnce:
        """Return what runs a write once."""
        return run_once
