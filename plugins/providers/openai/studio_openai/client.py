"""Calls to one vendor of this protocol: what a refusal means, and that no paid answer is taken for a free one."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ValidationError

from studio import (
    Generation,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from studio_openai.sse import sse_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from pathlib import Path

    from studio import Doc, HttpAnswer, PluginContext, VendorTable

M = TypeVar("M", bound=BaseModel)
Words = tuple[tuple[object, ...], str]
"""The words of an error, the most exact first, and its message."""
_OK, _REDIRECT, _TOO_MANY = 200, 300, 429
_AWAY = frozenset({"provider_key_refused", "provider_quota_exceeded"})


class VendorCalls:
    """One capability's connection to a vendor. `words` reads the vendor's shapes of an error body.

    Raises OutcomeUnknownError also for an answer to a paid call that came and cannot be read.
    """

    def __init__(
        self,
        ctx: PluginContext,
        capability: str,
        table: VendorTable,
        words: Callable[[object], Words],
        *,
        base_url: str,
        headers: Mapping[str, str],
        deadline_s: float,
        max_bytes: int,
        private_hosts: Iterable[str] = (),
    ) -> None:
        self.table, self._words, self._origin = table, words, origin_of(base_url)
        self._http = ctx.http.client(
            f"{ctx.name}.{capability}",
            base_url,
            deadline_s,
            max_bytes,
            headers=headers,
            allow_private=private_hosts,
        )

    async def create(self, path: str, **content: Any) -> HttpAnswer:
        """Send a paid call once and return its whole answer; raises what a refusal means."""
        answer = await self._http.request("POST", path, returned=(_TOO_MANY,), **content)
        self._check(answer)
        return answer

    async def created(self, path: str, model: type[M], **content: Any) -> tuple[M, str]:
        """Send a paid call and return its answer and the vendor's id of the request ("" without one)."""
        answer = await self.create(path, **content)
        return self.paid(model, answer.body), answer.headers.get("x-request-id", "")

    async def read(
        self, path: str, model: type[M], method: str = "GET", **content: Any
    ) -> tuple[int, M | None]:
        """Ask what starts nothing, as often as needed; None for an empty body."""
        answer = await self._http.request(method, path, kind="safe", **content)
        self._check(answer)
        if not answer.body.strip():
            return answer.status, None
        try:
            return answer.status, model.model_validate_json(answer.body)
        except ValidationError as error:
            raise ProviderError(self._unread(error), code="provider_bad_answer") from error

    async def save(self, path: str, target: Path, mimes: tuple[str, ...]) -> None:
        """Copy a finished file to `target`, as often as needed, whole or not at all.

        Raises ProviderRejectedError when it is not there (any more), or of a type that begins with none of `mimes`.
        """
        part = target.with_name(f".part-{secrets.token_hex(8)}")  # another process may fetch the same one
        try:
            mime = await self._http.download(path, part)
            if not mime.startswith(mimes):
                detail = f"{self.table.vendor} sent {mime[:40] or 'nothing'} where a file should be."
                raise ProviderRejectedError(detail, code="provider_no_result")
            await asyncio.to_thread(part.replace, target)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)

    async def fetched(self, url: str) -> bytes:
        """Return a file that the answer to a paid call names; it lies at the vendor's own origin.

        Raises OutcomeUnknownError for any other address and for a file that does not come: the call was paid.
        """
        if origin_of(url) != self._origin:
            detail = f"{self.table.vendor} names a file that does not lie at base_url: it is not fetched."
            raise OutcomeUnknownError(detail, code="foreign_file")
        try:
            answer = await self._http.request("GET", url)
            self._check(answer)
        except (ProviderError, ProviderUnavailableError) as error:
            raise OutcomeUnknownError(f"The file that was paid does not come: {error.detail}") from error
        return answer.body

    @asynccontextmanager
    async def events(self, path: str, **content: Any) -> AsyncIterator[AsyncIterator[Doc]]:
        """Send a paid call whose answer is server-sent events of JSON objects, up to `[DONE]` or the end."""
        async with self._http.stream("POST", path, returned=(_TOO_MANY,), **content) as answer:
            if answer.status >= _REDIRECT:
                self._check(await answer.whole())
            yield self._objects(answer)

    def paid(self, model: type[M], body: bytes | Doc) -> M:
        """Read the answer to a paid call; raises OutcomeUnknownError when it is of another shape."""
        try:
            return model.model_validate_json(body) if isinstance(body, bytes) else model.model_validate(body)
        except ValidationError as error:
            raise OutcomeUnknownError(self._unread(error)) from error

    def failed(self, provider_job_id: str, body: Doc, usage: Mapping[str, int], *, begun: bool) -> Generation:
        """Return the end of a stream that an error ended, with its usage: that is charged, so it is final.

        Raises OutcomeUnknownError when the answer had `begun` and nobody says what was used.
        """
        words, message = self._words(body)
        error = self.table.failure(*words, message=message).model_copy(update={"retryable": False})
        done = Generation(provider_job_id=provider_job_id, state="failed", error=error, usage=dict(usage))
        return self.charged(done, begun=begun)

    def charged(self, done: Generation, *, begun: bool) -> Generation:
        """Return the end of a stream; raises OutcomeUnknownError for a failure after words, without a usage."""
        if begun and done.state != "succeeded" and not done.usage:
            reason = done.error.message if done.error else done.state
            raise OutcomeUnknownError(
                f"{self.table.vendor} broke off its answer: {reason} It may be charged."
            )
        return done

    async def _objects(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[Doc]:
        async for _, data in sse_events(pieces):
            if data == "[DONE]":
                return
            try:
                found = orjson.loads(data)
            except orjson.JSONDecodeError as error:
                raise OutcomeUnknownError(f"{self.table.vendor} sent an event that is no JSON.") from error
            if isinstance(found, dict):
                yield found

    def _unread(self, error: ValidationError) -> str:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        return f"{self.table.vendor} answered in a shape that is not known here ({where}: {first['msg']})."

    def _check(self, answer: HttpAnswer) -> None:
        if not _OK <= answer.status < _REDIRECT:
            raise self._refusal(answer)

    def _refusal(self, answer: HttpAnswer) -> ProviderError | ProviderUnavailableError:
        found: object = None
        with suppress(orjson.JSONDecodeError):
            found = orjson.loads(answer.body)
        words, message = self._words(found)
        failure = self.table.failure(*words, answer.status, message=message)
        detail = f"{self.table.vendor}: {failure.message}"
        if failure.code in _AWAY:
            return ProviderUnavailableError(detail, code=failure.code)
        if answer.status == _TOO_MANY:
            after = retry_after_s(answer.headers, time.time())
            return ProviderError(detail, code="provider_rate_limited", retry_after=after)
        return self.table.refusal(answer, *words, message=message)


def origin_of(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port of an address; None for what is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the pause that a vendor asks for: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    with suppress(ValueError):
        return max(0.0, float(headers.get("retry-after-ms", "")) / 1000)
    value = headers.get("retry-after", "")
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    return None
