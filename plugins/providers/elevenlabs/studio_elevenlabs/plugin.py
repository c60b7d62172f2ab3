"""Hooks of the plugin `elevenlabs`: wiring only. The client is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ProviderSpec, StudioHooks, hookimpl
from studio_elevenlabs.models import models_of, music_models_of
from studio_elevenlabs.settings import ElevenLabsSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import PluginContext

_MARGIN_S = 5.0
"""So much longer than the HTTP client may the whole call take: the client's own error says more."""


class Plugin(StudioHooks):
    """Voices and music by ElevenLabs."""

    manifest = Manifest(name="elevenlabs", settings=ElevenLabsSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return voices and music; without a key they say what to set."""
        settings = ctx.settings(ElevenLabsSettings)
        missing = None if settings.api_key else "set STUDIO_ELEVENLABS__API_KEY"
        return [
            ProviderSpec(
                name="elevenlabs", capability="voice", target="studio_elevenlabs.voice:ElevenLabsVoiceGenerator",
                models=models_of(settings), deadline_s=settings.deadline_s + _MARGIN_S, missing=missing,
                webhooks=settings.webhook_secret is not None,
            ),
            ProviderSpec(
                name="elevenlabs", capability="music", target="studio_elevenlabs.music:ElevenLabsMusicGenerator",
                models=music_models_of(settings), deadline_s=settings.music_deadline_s + _MARGIN_S, missing=missing,
            ),
        ]  # fmt: skip
