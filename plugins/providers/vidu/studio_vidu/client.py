"""Vidu's HTTP API. Source: platform.vidu.com/docs, image-to-video, text-to-video, get-generation, cancel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from studio import (
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    data_uri,
    json_object,
)
from studio_vidu.models import SUFFIXES, TABLE, checked, task_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from studio import HttpAnswer, PluginContext, StudioError
    from studio_vidu.settings import ViduSettings

API = "/ent/v2"
ANSWER_BYTES = 1_000_000
MOST_BYTES = 14_000_000
"""What the pictures of one request may have together: as base64 they fit into the 20 MB of a body."""
OK = 200


class ViduClient:
    """Calls the API with the operator's key; no caller names an address, a header or a key."""

    def __init__(self, ctx: PluginContext, settings: ViduSettings) -> None:
        self._limit = settings.max_input_bytes
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._http = ctx.http.client(
            "vidu",
            settings.base_url,
            settings.deadline_s,
            ANSWER_BYTES,
            headers={"Authorization": f"Token {key}"},
            allow_private=settings.private_hosts,
        )

    async def create(self, mode: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Start a task, sent once at most; returns its id and what it says.

        Raises ProviderRejectedError, ProviderError or ProviderUnavailableError when it was refused,
        OutcomeUnknownError when it may run and nobody knows its id.
        """
        most = ANSWER_BYTES + sum(map(len, body.get("images", ())))  # the answer may repeat the pictures
        try:
            answer = await self._http.request("POST", f"{API}/{mode}", json=body, max_bytes=most)
        except ProviderError as error:
            if error.code in ("provider_bad_answer", "answer_too_large"):  # an answer came: it is no refusal
                raise _unreadable() from error
            raise
        if answer.status != OK:
            raise refusal(answer)
        try:
            raw = json_object(answer)
        except ProviderError as error:
            raise _unreadable() from error
        if (task_id := task_id_of(raw)) is None:
            raise _unreadable()
        return task_id, raw

    async def get(self, task_id: str) -> dict[str, Any]:
        """Ask for a task; raises ProviderRejectedError for one that is not there."""
        answer = await self._http.request("GET", f"{API}/tasks/{checked(task_id)}/creations")
        if answer.status != OK:
            raise refusal(answer)
        return json_object(answer)

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task; False when it has begun, is over or unknown."""
        path = f"{API}/tasks/{checked(task_id)}/cancel"
        answer = await self._http.request("POST", path, kind="safe", json={"id": task_id})
        if answer.status in (400, 404, 409):
            return False
        if answer.status != OK:
            raise refusal(answer)
        return True

    async def pictures(self, paths: Sequence[Path]) -> list[str]:
        """Return pictures as data URIs; raises ProviderRejectedError where they are too large, alone or together."""
        sizes = [(await asyncio.to_thread(path.stat)).st_size for path in paths]
        if sum(sizes) > MOST_BYTES and len(paths) > 1:
            raise ProviderRejectedError(
                f"Vidu takes {MOST_BYTES} bytes of pictures together.", code="image_refused", input="image"
            )
        return [await self._picture(path) for path in paths]

    async def _picture(self, path: Path) -> str:
        if path.suffix.lower() not in SUFFIXES:
            raise ProviderRejectedError("Vidu takes png, jpeg and webp.", code="image_refused", input="image")
        if (await asyncio.to_thread(path.stat)).st_size > self._limit:
            raise ProviderRejectedError(
                f"Vidu takes pictures up to {self._limit} bytes.", code="image_refused", input="image"
            )
        return await asyncio.to_thread(data_uri, path, self._limit)


def refusal(answer: HttpAnswer) -> StudioError:
    """Return the error of an answer that is none: `{code, reason, message, metadata}`, or no JSON at all."""
    try:
        told = json_object(answer)
    except ProviderError:
        told = {}
    return TABLE.refusal(answer, told.get("reason"), message=str(told.get("message") or ""))


def _unreadable() -> OutcomeUnknownError:
    return OutcomeUnknownError("Vidu took the request with an answer that cannot be read.")
