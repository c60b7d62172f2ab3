"""Hooks of the plugin `resend`: wiring only. The client is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ModelSpec, ProviderSpec, StudioHooks, hookimpl
from studio_resend.settings import ResendSettings

if TYPE_CHECKING:
    from studio import PluginContext


class Plugin(StudioHooks):
    """Mail through Resend."""

    manifest = Manifest(name="resend", settings=ResendSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> list[ProviderSpec]:
        """Return the mailer; without a key and a sender it says what to set."""
        settings = ctx.settings(ResendSettings)
        unset = [name for name in ("api_key", "sender") if not getattr(settings, name)]
        return [
            ProviderSpec(
                name="resend",
                capability="mail",
                target="studio_resend.client:ResendMailer",
                models=(ModelSpec("resend-emails", price_kind="unknown"),),
                priority=settings.priority,
                missing=f"set {' and '.join(f'STUDIO_RESEND__{n.upper()}' for n in unset)}"
                if unset
                else None,
                deadline_s=30.0,
                webhooks=settings.webhook_secret is not None,
            )
        ]
