"""The connection of each capability, and what pictures and videos share on the way out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from studio import BadRequestError, ProviderRejectedError, data_uri
from studio_jobvendor.api import ratio_of as nearest_ratio
from studio_openai.api.chat import VendorCalls
from studio_xai.models import TABLE, words_of
from studio_xai.settings import XaiSettings

if TYPE_CHECKING:
    from pathlib import Path

    from studio import PluginContext

MAX_BYTES = 4_000_000
"""Of an answer: pictures and videos come as addresses."""
IMAGE_BYTES, CLIP_BYTES = 15_000_000, 60_000_000
"""Of a picture, of a clip to go on from: files travel inside the request."""
_RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3")


def calls_of(ctx: PluginContext, capability: str, deadline_s: float) -> VendorCalls:
    """Return a connection that carries the key."""
    settings = ctx.settings(XaiSettings)
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return VendorCalls(
        ctx,
        capability,
        TABLE,
        words_of,
        base_url=settings.base_url,
        headers={"Authorization": f"Bearer {key}"},
        deadline_s=deadline_s,
        max_bytes=MAX_BYTES,
        private_hosts=settings.private_hosts,
    )


def ratio_of(width: int, height: int) -> str:
    """Return the nearest aspect ratio that the vendor knows; raises ProviderRejectedError for no size at all."""
    if min(width, height) < 1:
        raise ProviderRejectedError(f"{width}x{height} is no size.", input="size")
    return nearest_ratio(width, height, _RATIOS)


async def uri_of(path: Path, part: str = "image", limit: int = IMAGE_BYTES) -> str:
    """Return a file as a data URI; raises ProviderRejectedError naming `part` for one that is too large."""
    try:
        return await asyncio.to_thread(data_uri, path, limit)
    except BadRequestError as error:
        raise ProviderRejectedError(error.detail, input=part) from error
