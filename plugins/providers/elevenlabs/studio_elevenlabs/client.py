"""The vendor's HTTP API: speech, music and the list of voices. Source: elevenlabs 2.78.0, raw clients."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from studio import OutcomeUnknownError, ProviderError, json_object
from studio_elevenlabs.models import TABLE
from studio_elevenlabs.settings import LOOPBACK

if TYPE_CHECKING:
    from studio import HttpAnswer, PluginContext, StudioError
    from studio_elevenlabs.settings import ElevenLabsSettings

OK = 200
_CREDITS = re.compile(r"[0-9]{1,12}")
PAGE, PAGES = 100, 50
"""Voices asked for at once, and how often: an account with more than 5,000 voices sees the first ones."""
LIST_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Sound:
    """One answer: the audio, where each character lies in it (None if nobody says), what it cost in credits."""

    audio: bytes
    alignment: Any
    credits: int | None
    request_id: str
    song_id: str = ""


class ElevenLabsClient:
    """Calls the API with the operator's key; no caller names an address, a header or a key."""

    def __init__(self, ctx: PluginContext, settings: ElevenLabsSettings) -> None:
        self._settings = settings
        host = urlsplit(settings.address).hostname or ""
        self._http = ctx.http.client(
            "elevenlabs",
            settings.address,
            settings.deadline_s,
            settings.max_audio_bytes,
            headers={"xi-api-key": settings.api_key.get_secret_value() if settings.api_key else ""},
            allow_private=[host] if host in LOOPBACK else [],
        )

    async def speak(self, voice: str, body: dict[str, Any]) -> Sound:
        """Have a text spoken, sent once at most.

        Raises ProviderRejectedError or ProviderUnavailableError when the vendor refuses it, OutcomeUnknownError when
        it says yes with an answer that cannot be read: that one is charged.
        """
        timed = self._settings.timestamps
        path = f"/v1/text-to-speech/{quote(voice, safe='')}{'/with-timestamps' if timed else ''}"
        answer = await self._http.request(
            "POST",
            path,
            params={"output_format": self._settings.output_format},
            json=body,
            max_bytes=self._settings.max_audio_bytes * (2 if timed else 1),  # base64 adds a third
        )
        if answer.status != OK:
            raise refusal(answer)
        return _sound(answer, *(_timed(answer) if timed else (_plain(answer), None)))

    async def compose(self, body: dict[str, Any]) -> Sound:
        """Have music composed, sent once at most; raises the same. Source: elevenlabs 2.78.0, music.compose."""
        answer = await self._http.request(
            "POST",
            "/v1/music",
            params={"output_format": self._settings.music_format},
            json=body,
            deadline_s=self._settings.music_deadline_s,
        )
        if answer.status != OK:
            raise refusal(answer)
        return _sound(answer, _plain(answer), None)

    async def voices(self) -> list[dict[str, Any]]:
        """Return every voice of the account, page by page."""
        found: list[dict[str, Any]] = []
        token: str | None = None
        for _ in range(PAGES):
            params = {"page_size": str(PAGE), **({"next_page_token": token} if token else {})}
            answer = await self._http.request("GET", "/v2/voices", params=params, max_bytes=LIST_BYTES)
            if answer.status != OK:
                raise refusal(answer)
            page = json_object(answer)
            voices, following = page.get("voices"), page.get("next_page_token")
            if not isinstance(voices, list):
                raise ProviderError("ElevenLabs lists no voices.", code="provider_bad_answer")
            found += [voice for voice in voices if isinstance(voice, dict)]
            if page.get("has_more") is not True or not isinstance(following, str) or following == token:
                break
            token = following
        return found


def _sound(answer: HttpAnswer, audio: bytes, alignment: Any) -> Sound:
    if not audio:
        raise OutcomeUnknownError("ElevenLabs says yes and sends no audio.", code="provider_bad_answer")
    heads, cost = answer.headers, answer.headers.get("character-cost", "")
    spent = int(cost) if _CREDITS.fullmatch(cost) else None
    return Sound(audio, alignment, spent, heads.get("request-id", ""), heads.get("song-id", ""))


def _plain(answer: HttpAnswer) -> bytes:
    return answer.body if answer.headers.get("content-type", "").startswith("audio/") else b""


def _timed(answer: Any) -> tuple[bytes, Any]:
    try:
        found = json_object(answer)
        return base64.b64decode(found["audio_base64"], validate=True), found.get("alignment")
    except (ProviderError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise OutcomeUnknownError(
            "ElevenLabs says yes with an answer that cannot be read.", code="provider_bad_answer"
        ) from error


def refusal(answer: Any) -> StudioError:
    """Return the error of an answer that is none: `detail` is an object, or FastAPI's list of fields."""
    try:
        detail = json_object(answer).get("detail")
    except ProviderError:
        detail = None
    if isinstance(detail, list):
        return _fields(answer, [row for row in detail if isinstance(row, dict)])
    told = detail if isinstance(detail, dict) else {"message": detail or ""}
    return TABLE.refusal(answer, told.get("status"), message=str(told.get("message") or ""))


def _fields(answer: Any, rows: list[dict[str, Any]]) -> StudioError:
    named = [
        (".".join(map(str, row.get("loc", ())[1:])), str(row.get("msg", "")))
        for row in rows
        if row.get("loc")
    ]
    error = TABLE.refusal(answer, message="; ".join(f"{where}: {what}" for where, what in named))
    if named:
        error.extra["input"] = named[0][0].partition(".")[0]
    return error
