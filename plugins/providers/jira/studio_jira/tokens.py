"""OAuth 2.0 access tokens that are renewed. Source: developer.atlassian.com, "Implementing the Refresh Token Flow".

A refresh token is good for one use: the answer brings the next one, which is kept in a file. Every process reads it
before it asks, so that one renewal serves all of them; who was too late by a moment finds the token of the other.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio import ProviderError, ProviderUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from studio import PluginContext
    from studio_jira.settings import JiraSettings

SPARE_S, DEADLINE_S, ANSWER_BYTES = 60.0, 20.0, 100_000
LATE_S = (0.1, 0.4, 1.0)
OK, REFUSED = 200, (400, 401, 403)


class Kept(BaseModel):
    """What the file holds. `first` tells of which configured refresh token these are the successors."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    first: str
    access_token: str = Field(min_length=1)
    refresh_token: str = Field(min_length=1)
    expires_at: float


class Answer(BaseModel):
    """A renewal."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    access_token: str = Field(min_length=1)
    refresh_token: str = Field(min_length=1)
    expires_in: float = Field(gt=0, le=31_536_000)


class Tokens:
    """The access token of now. Raises ProviderUnavailableError when Atlassian does not renew it any more."""

    def __init__(self, ctx: PluginContext, settings: JiraSettings) -> None:
        self._settings, self._log = settings, ctx.log
        self._path = settings.token_file.absolute()
        self._given = settings.refresh_token.get_secret_value() if settings.refresh_token else ""
        self._first = hashlib.sha256(self._given.encode()).hexdigest()
        self._kept: Kept | None = None
        self._renewing = asyncio.Lock()
        self._http = ctx.http.client(
            "jira-auth", settings.auth_url, DEADLINE_S, ANSWER_BYTES, headers={"Accept": "application/json"},
            allow_private=("127.0.0.1", "localhost") if settings.auth_url.startswith("http://") else (),
        )  # fmt: skip

    async def current(self, refused: str | None = None) -> str:
        """Return a token that lives for a minute at least, and is not the one that Jira has just `refused`."""
        async with self._renewing:
            kept = await self._known()
            if kept is None or kept.expires_at < time.time() + SPARE_S or kept.access_token == refused:
                kept = await self._renewed(kept)
            return kept.access_token

    async def _known(self) -> Kept | None:
        """Return the younger of what this process and what the file knows."""
        filed = await asyncio.to_thread(_read, self._path)
        found = [kept for kept in (self._kept, filed) if kept is not None and kept.first == self._first]
        return max(found, key=lambda kept: kept.expires_at, default=None)

    async def _renewed(self, kept: Kept | None) -> Kept:
        used = kept.refresh_token if kept else self._given
        settings = self._settings
        secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
        body = {
            "grant_type": "refresh_token", "client_id": settings.client_id, "client_secret": secret,
            "refresh_token": used,
        }  # fmt: skip
        answer = await self._http.request("POST", "/oauth/token", kind="safe", json=body)
        if answer.status in REFUSED:
            return await self._other(used)
        try:
            told = Answer.model_validate_json(answer.body if answer.status == OK else b"")
        except ValidationError as error:
            raise ProviderError("Atlassian's answer is no token.", code="provider_bad_answer") from error
        self._kept = Kept(first=self._first, expires_at=time.time() + told.expires_in, **told.model_dump())
        await self._write(self._kept)
        return self._kept

    async def _other(self, used: str) -> Kept:
        """Return what another process got for the same refresh token: it may be about to write the file."""
        for pause in (0.0, *LATE_S):
            await asyncio.sleep(pause)
            other = await self._known()
            if other is not None and other.refresh_token != used:
                return other
        raise ProviderUnavailableError(
            "Atlassian does not renew the token: authorize the app anew and set STUDIO_JIRA__REFRESH_TOKEN.",
            code="provider_key_refused",
        )

    async def _write(self, kept: Kept) -> None:
        try:
            await asyncio.to_thread(_replace, self._path, kept.model_dump_json().encode())
        except OSError as error:  # it serves until the restart, and somebody has to know
            self._log.error("jira_token_not_kept", path=str(self._path), error=error.strerror)


def _read(path: Path) -> Kept | None:
    try:
        return Kept.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # the first time there is none; a broken one is as good as none
        return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
