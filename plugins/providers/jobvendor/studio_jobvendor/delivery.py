"""How a local file reaches a vendor: inside the request, or by an upload whose address stands there."""

from __future__ import annotations

import asyncio
import mimetypes
from typing import TYPE_CHECKING

from studio import BadRequestError, ProviderError, data_uri

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

UNREADABLE = ("provider_bad_answer", "answer_too_large")
"""Codes of an answer that came and cannot be read: of a paid call, it is no refusal."""
_UNKNOWN = "application/octet-stream"


async def sent_or_put(
    path: Path, inline_bytes: int, most_bytes: int, upload: Callable[[Path], Awaitable[str]]
) -> str:
    """Return what stands for a file in an input: a data URI up to `inline_bytes`, else what `upload` returns.

    Raises BadRequestError for a file of more than `most_bytes`, ProviderError (`upload_failed`) for an upload whose
    answer cannot be read: nothing was started, so a repetition costs nothing.
    """
    size = (await asyncio.to_thread(path.stat)).st_size
    if size <= inline_bytes:
        return await asyncio.to_thread(data_uri, path, inline_bytes)
    if size > most_bytes:
        raise BadRequestError(f"{path.name} has more than {most_bytes} bytes.")
    try:
        return await upload(path)
    except ProviderError as error:
        if error.code in UNREADABLE:
            raise ProviderError(error.detail, code="upload_failed") from error
        raise


def mime_of(path: Path) -> str:
    """Return the media type that a file's name ends in."""
    return mimetypes.guess_type(path.name, strict=False)[0] or _UNKNOWN
