"""xAI's words, declared once; the shapes of its answers; what a request's `params` may hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from studio import Fault, VendorTable
from studio_openai.api.chat import Believed, Params, Wire

if TYPE_CHECKING:
    from studio_openai.api.chat import Words

_KEY, _MODERATED = "(wrong key)", "(moderated)"
"""Not words of the vendor: it has none for these, so they are read off its messages."""
_SIGNS = (
    (_KEY, re.compile(r"(incorrect|invalid|missing)(\s|%20)+api(\s|%20)+key", re.IGNORECASE)),
    (_MODERATED, re.compile(r"moderat|content policy", re.IGNORECASE)),
)
TICKS_PER_UUSD = 10_000
"""1 tick is 1e-10 USD. Source: xai_sdk/cost.py."""
_MOST_TICKS = 10**15 * TICKS_PER_UUSD
_Seconds = Annotated[float, Field(ge=0, le=86_400)]

TABLE = VendorTable(
    vendor="xAI",
    states={"pending": "running", "done": "succeeded", "failed": "failed", "expired": "failed"},
    errors={
        _KEY: Fault("provider_key_refused"),
        _MODERATED: Fault("content_policy_violation", input="prompt"),
        "expired": Fault("provider_expired"),
        "insufficient_quota": Fault("provider_quota_exceeded"),
        404: Fault("provider_not_found"),
        408: Fault("provider_timeout", retryable=True),
        429: Fault("provider_rate_limited", retryable=True),
    },
)


def words_of(body: object) -> Words:
    """Return the words and the message of both shapes: `{"error": {message, code}}` and `{"code", "error": text}`."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        code, message = error.get("code"), error.get("message")
    else:
        code, message = (body.get("code") if isinstance(body, dict) else None), error
    text = str(message or "")
    return (*(word for word, sign in _SIGNS if sign.search(text)), code), text


def uusd(ticks: int | None) -> int | None:
    """Return ticks in whole micro-USD, rounded up; None for no figure, and for one that cannot be right."""
    if ticks is None or not 0 <= ticks <= _MOST_TICKS:
        return None
    return -(-ticks // TICKS_PER_UUSD)


class ChatParams(Params):
    """For `/chat/completions`."""

    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    reasoning_effort: Literal["low", "medium", "high"] | None = None


class ImageParams(Params):
    """For `/images/generations` and `/images/edits`."""

    resolution: Literal["1k", "2k"] | None = None
    quality: Literal["low", "medium", "high"] | None = None


class VideoParams(Params):
    """For `/videos/generations`."""

    resolution: Literal["480p", "720p", "1080p"] | None = None


class Cost(Wire):
    """What an answer cost."""

    cost_in_usd_ticks: Believed[int] = None


class Picture(Wire):
    """One picture; a blocked one has no address."""

    url: str | None = None
    mime_type: str | None = None
    revised_prompt: str | None = None
    respect_moderation: bool | None = None


class Pictures(Wire):
    """The answer of both picture calls; nothing in `data` means that all was blocked."""

    data: tuple[Picture, ...]
    usage: Cost | None = None


class Started(Wire):
    """The answer to the start of a video."""

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")]


class Clip(Wire):
    """A video that is done; a blocked one has no address."""

    url: str | None = None
    duration: Believed[_Seconds] = None
    respect_moderation: bool | None = None


class Trouble(Wire):
    """Why a video failed."""

    code: str | None = None
    message: str | None = None


class Video(Wire):
    """A video in any of its states; an early version of the API left `status` out when it was done."""

    status: str | None = None
    video: Clip | None = None
    error: Trouble | str | None = None
    usage: Cost | None = None
    progress: Believed[Annotated[float, Field(allow_inf_nan=False)]] = None
