"""Where inputs lie that are too large for a request: one PUT, or in parts through the CDN.

Source: fal-client 1.0.3, `upload_file`: up to 100 MiB by `/storage/upload/initiate`, above in parts of 10 MiB.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from studio import ProviderError, json_object
from studio_fal.models import refusal
from studio_jobvendor.api import Places, mime_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from studio import HttpAnswer, PluginContext
    from studio_fal.settings import FalSettings

WHOLE_BYTES, PART_BYTES, AT_ONCE = 100 * 1024 * 1024, 10 * 1024 * 1024, 3
ANSWER_BYTES, UPLOAD_DEADLINE_S, SPARE_S = 1_000_000, 120.0, 60.0
ERRORS = 300
_UPLOAD = re.compile(r"[\w.~=+-]{1,1024}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """What opens the CDN until `ends` (unix seconds)."""

    authorization: str
    base_url: str
    ends: float


class Storage:
    """Puts files where fal can read them. The operator's key goes to `rest_url` only, the CDN gets its own token."""

    def __init__(self, ctx: PluginContext, settings: FalSettings, headers: Mapping[str, str]) -> None:
        self._settings, self._places = settings, Places(settings)
        self._token: Token | None = None
        self._asking = asyncio.Lock()
        deadline_s, private = settings.deadline_s, settings.private_hosts
        self._rest = ctx.http.client(
            "fal-rest", settings.rest_url, deadline_s, ANSWER_BYTES, headers=headers, allow_private=private
        )
        self._cdn = ctx.http.client("fal-cdn", None, deadline_s, ANSWER_BYTES, allow_private=private)

    async def put(self, path: Path) -> str:
        """Upload a file and return its address; raises ProviderError (`upload_failed`, or what a refusal means)."""
        size = (await asyncio.to_thread(path.stat)).st_size
        return await (self._whole(path) if size <= WHOLE_BYTES else self._in_parts(path, size))

    # ------------------------------------------------------------ one PUT

    async def _whole(self, path: Path) -> str:
        mime = mime_of(path)
        where = {"file_name": f"input{path.suffix}", "content_type": mime}
        made = await self._rest.request(
            "POST", "/storage/upload/initiate", kind="safe", params={"storage_type": "gcs"}, json=where
        )
        if made.status >= ERRORS:
            raise refusal(made)
        upload_url, file_url = self._addresses(made)
        put = await self._rest.request(
            "PUT", upload_url, kind="safe", deadline_s=UPLOAD_DEADLINE_S,
            content=await asyncio.to_thread(path.read_bytes), headers={"Content-Type": mime},
        )  # fmt: skip
        if put.status >= ERRORS:
            raise ProviderError(f"fal's storage answered {put.status} to an upload.", code="upload_failed")
        return file_url

    def _addresses(self, answer: HttpAnswer) -> tuple[str, str]:
        raw = json_object(answer)
        upload_url, file_url = raw.get("upload_url"), raw.get("file_url")
        if not isinstance(upload_url, str) or not isinstance(file_url, str):
            raise ProviderError("fal does not say where to put the file.", code="upload_failed")
        try:
            secure = urlsplit(upload_url).scheme in ("https", urlsplit(self._settings.rest_url).scheme)
        except ValueError:
            secure = False
        if not secure:
            raise ProviderError("fal wants the file over plain HTTP, or nowhere.", code="upload_failed")
        return upload_url, file_url

    # ------------------------------------------------------------ in parts

    async def _in_parts(self, path: Path, size: int) -> str:
        """Upload in parts, a few at once: never more of the file than these is in memory."""
        token, mime = await self._opened(), mime_of(path)
        named = {"Content-Type": mime, "X-Fal-File-Name": f"input{path.suffix}"}
        made = await self._asked("POST", f"{token.base_url}/files/upload/multipart", token, headers=named)
        place, file_url = self._place(json_object(made))
        slots = asyncio.Semaphore(AT_ONCE)

        async def part(number: int) -> dict[str, Any]:
            async with slots:
                data = await asyncio.to_thread(_read, path, (number - 1) * PART_BYTES)
                answer = await self._asked(
                    "PUT", f"{place}/{number}", token, headers={"Content-Type": mime},
                    content=data, deadline_s=UPLOAD_DEADLINE_S,
                )  # fmt: skip
            if not (etag := answer.headers.get("etag")):
                raise ProviderError("fal's CDN confirms no part.", code="upload_failed")
            return {"partNumber": number, "etag": etag}

        tasks = [asyncio.create_task(part(number)) for number in range(1, -(-size // PART_BYTES) + 1)]
        try:
            done = {"parts": await asyncio.gather(*tasks)}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._asked("POST", f"{place}/complete", token, json=done, deadline_s=UPLOAD_DEADLINE_S)
        return file_url

    def _place(self, raw: dict[str, Any]) -> tuple[str, str]:
        file_url, upload_id = raw.get("access_url"), raw.get("uploadId")
        if (
            not isinstance(file_url, str)
            or not isinstance(upload_id, str)
            or not _UPLOAD.fullmatch(upload_id)
        ):
            raise ProviderError("fal's CDN does not say where to put the parts.", code="upload_failed")
        if not self._places.allows(file_url):  # the token goes there, with the file
            raise ProviderError("fal's CDN names a host that output_hosts does not.", code="upload_failed")
        return f"{file_url}/multipart/{upload_id}", file_url

    async def _asked(
        self, method: str, url: str, token: Token, *, headers: Mapping[str, str] | None = None, **content: Any
    ) -> HttpAnswer:
        """Call the CDN; a repetition of any of its calls costs nothing."""
        heads = {"Authorization": token.authorization, **(headers or {})}
        answer = await self._cdn.request(method, url, kind="safe", headers=heads, **content)
        if answer.status >= ERRORS:
            raise ProviderError(f"fal's CDN answered {answer.status} to an upload.", code="upload_failed")
        return answer

    async def _opened(self) -> Token:
        """Return a token that lives long enough for an upload."""
        async with self._asking:
            if self._token is None or self._token.ends < time.time() + UPLOAD_DEADLINE_S + SPARE_S:
                answer = await self._rest.request(
                    "POST", "/storage/auth/token", kind="safe", params={"storage_type": "fal-cdn-v3"}, json={}
                )
                if answer.status >= ERRORS:
                    raise refusal(answer)
                self._token = self._read_token(json_object(answer))
            return self._token

    def _read_token(self, raw: dict[str, Any]) -> Token:
        try:
            base_url, ends = raw["base_url"].rstrip("/"), datetime.fromisoformat(raw["expires_at"])
            authorization = f"{raw['token_type']} {raw['token']}"
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProviderError("fal gives no token for its CDN.", code="upload_failed") from error
        if not self._places.allows(base_url):
            raise ProviderError(
                "fal's CDN lies on a host that output_hosts does not name.", code="upload_failed"
            )
        return Token(authorization, base_url, ends.replace(tzinfo=ends.tzinfo or UTC).timestamp())


def _read(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(PART_BYTES)
