"""The connection of each capability, as the operator has set it: nothing of a request reaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio_openai.client import VendorCalls
from studio_openai.models import TABLE, words_of
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from studio import PluginContext


MAX_BYTES = {
    "chat": 4_000_000, "image": 40_000_000, "image_edit": 40_000_000, "voice": 20_000_000,
    "moderation": 1_000_000, "video": 1_000_000,
}  # fmt: skip
"""The largest answer that is read: a picture of 3840x2160 as PNG in base64 has some 30 MB."""


def calls_of(ctx: PluginContext, capability: str, deadline_s: float) -> VendorCalls:
    """Return a connection that carries the key, the organization and the project."""
    settings = ctx.settings(OpenaiSettings)
    headers = {
        "Authorization": f"Bearer {settings.api_key.get_secret_value()}" if settings.api_key else None,
        "OpenAI-Organization": settings.organization,
        "OpenAI-Project": settings.project,
    }
    return VendorCalls(
        ctx,
        capability,
        TABLE,
        words_of,
        base_url=settings.base_url,
        headers={name: value for name, value in headers.items() if value},
        deadline_s=deadline_s,
        max_bytes=MAX_BYTES[capability],
        private_hosts=settings.private_hosts,
    )
