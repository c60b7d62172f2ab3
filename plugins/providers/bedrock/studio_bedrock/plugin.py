"""Hooks of the plugin `bedrock`: wiring only. The client is imported at its first use."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Manifest, ProviderSpec, StudioHooks, hookimpl
from studio_bedrock.api import BedrockText
from studio_bedrock.models import models_of
from studio_bedrock.service import BedrockTextService
from studio_bedrock.settings import BedrockSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from studio import PluginContext

_MARGIN_S = 5.0
"""So much longer than the HTTP client may the whole call take: the client's own error says more."""


class Plugin(StudioHooks):
    """Chat models of AWS Bedrock."""

    manifest = Manifest(name="bedrock", settings=BedrockSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return the chat models; without key or account they say what to set."""
        settings = ctx.settings(BedrockSettings)
        return [
            ProviderSpec(
                name="bedrock", capability="chat", target="studio_bedrock.chat:BedrockChatModel",
                models=models_of(settings), missing=settings.missing, deadline_s=settings.deadline_s + _MARGIN_S,
            )
        ]  # fmt: skip

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide `generate_text`; without a key a call of it says what to set."""
        ctx.provide(BedrockText, BedrockTextService(ctx))  # type: ignore[type-abstract]  # asked by its protocol
        yield
