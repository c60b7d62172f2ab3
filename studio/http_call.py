"""One outgoing call: its tries, its redirects, and what each way of failing means to the caller."""

from __future__ import annotations

import asyncio
import random
import zlib
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx

from studio.errors import OutcomeUnknownError, ProviderError, ProviderRejectedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping

T = TypeVar("T")
Kind = Literal["safe", "create"]
TRIES, BACKOFF_S, BACKOFF_CAP_S, RETRY_AFTER_CAP_S, REDIRECTS = 4, 0.5, 8.0, 60.0, 5
TOO_MANY, SERVER_ERROR = 429, 500
LONGEST_RETRY_S = 86_400.0
PACKED_MORE = 65_536
"""Bytes that a packed answer may have beyond what it unpacks to."""
PIECE = 262_144
"""Bytes that are unpacked without a pause: half a millisecond."""
_REDIRECT = {301, 302, 303, 307, 308}
_HARMLESS = {"accept", "accept-encoding", "content-type", "range", "user-agent"}


class Call:
    """One call with its tries. `sent` tells if a byte of the last try left: before, nothing happened.

    Redirects are followed only with `hosts`: to those, and nowhere else.
    """

    def __init__(
        self,
        name: str,
        http: httpx.AsyncClient,
        build: Callable[[], httpx.Request],
        kind: Kind,
        *,
        returned: Collection[int] = (),
        hosts: Collection[str] | None = None,
    ) -> None:
        self._name, self._http, self._build, self._kind = name, http, build, kind
        self._returned, self._hosts = returned, hosts
        self.sent = False
        self.where = ""

    async def run(self, deadline_s: float, consume: Callable[[httpx.Response], Awaitable[T]]) -> T:
        """Try until `consume` has read a whole answer; `deadline_s` is the total, with waits and tries."""
        end = asyncio.get_running_loop().time() + deadline_s
        try:
            async with asyncio.timeout_at(end):
                return await self._tries(end, consume)
        except TimeoutError as error:
            raise self.late(deadline_s) from error

    async def _tries(self, end: float, consume: Callable[[httpx.Response], Awaitable[T]]) -> T:
        for attempt in range(TRIES):
            try:
                return await self._once(consume)
            except ProviderError as error:
                again = error.retryable and self._kind == "safe" and attempt < TRIES - 1
                wait = random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_S * 2**attempt))  # noqa: S311 - jitter
                wait = wait if error.retry_after is None else min(error.retry_after, RETRY_AFTER_CAP_S)
                if not again or asyncio.get_running_loop().time() + wait >= end:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    @asynccontextmanager
    async def opened(self, end: float, deadline_s: float) -> AsyncIterator[httpx.Response]:
        """Open an answer that is read piece by piece, before the loop's time `end`; one try."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(end):
                    response = await stack.enter_async_context(self._answer())
            except TimeoutError as error:
                raise self.late(deadline_s) from error
            yield response

    def late(self, deadline_s: float) -> ProviderError:
        """Return the error for an answer that is not whole in time."""
        return self._lost(f"no whole answer within {deadline_s:g} s", "provider_timeout")

    async def _once(self, consume: Callable[[httpx.Response], Awaitable[T]]) -> T:
        async with self._answer() as response:
            return await consume(response)

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[httpx.Response]:
        self.sent = False
        try:
            async with self._open(self._build()) as response:
                returned = response.status_code in self._returned
                if response.status_code == TOO_MANY and not returned:
                    after = _seconds(response.headers.get("retry-after", ""))
                    raise self._fail("answered 429", ProviderError, "provider_rate_limited", after)
                if response.status_code >= SERVER_ERROR and not returned:
                    raise self._lost(f"answered {response.status_code}", "provider_failed")
                yield response
        except httpx.UnsupportedProtocol as error:
            raise self._fail(
                "has an address of another kind", ProviderRejectedError, "bad_address"
            ) from error
        except (httpx.HTTPError, zlib.error) as error:
            raise self._lost(type(error).__name__, "provider_failed") from error

    @asynccontextmanager
    async def _open(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        for _ in range(REDIRECTS):
            if self._hosts is not None and not among(request.url.host, self._hosts):
                what = f"leads to {request.url.host[:100]!r}, which is none of the hosts it may use"
                raise self._fail(what, ProviderRejectedError, "foreign_file")
            path = request.url.path if self._http.base_url.host else ""  # a customer's may hold a secret
            self.where = f"{request.method} {request.url.host}{path}"
            request.extensions = {**request.extensions, "trace": self._trace}
            response = await self._http.send(request, stream=True)
            try:
                if self._hosts is None or response.status_code not in _REDIRECT:
                    yield response
                    return
            finally:
                await response.aclose()
            request = self._redirected(request, response.headers.get("location", ""))
        raise self._fail("redirects without end", ProviderRejectedError, "too_many_redirects")

    def _redirected(self, request: httpx.Request, location: str) -> httpx.Request:
        try:
            url = request.url.join(location)
        except httpx.InvalidURL as error:
            raise self._fail("redirects to nowhere", ProviderRejectedError, "bad_address") from error
        if request.url.scheme == "https" and url.scheme != "https":
            raise self._fail("redirects to plain HTTP", ProviderRejectedError, "bad_address")
        headers = {k: v for k, v in request.headers.items() if k != "host"}
        follow = httpx.Request("GET", url, headers=headers, extensions=request.extensions)
        if origin(url) != origin(request.url):
            strip(follow)
        return follow

    async def _trace(self, name: str, _: Mapping[str, Any]) -> None:
        if name.endswith("send_request_headers.started"):
            self.sent = True

    def _fail(
        self, what: str, kind: type[ProviderError], code: str, after: float | None = None
    ) -> ProviderError:
        return kind(f"{self._name} {what}.", code=code, retry_after=after)

    def _lost(self, what: str, code: str) -> ProviderError:
        if self.sent and self._kind == "create":
            return self._fail(what, OutcomeUnknownError, "outcome_unknown")
        return self._fail(what, ProviderError, code if self.sent else "provider_unreachable")


async def decoded(response: httpx.Response, cap: int) -> AsyncGenerator[bytes, None]:
    """Yield the decoded body, never more than `cap` bytes of it in memory or in sum."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    inflate = zlib.decompressobj(47) if encoding in ("gzip", "x-gzip", "deflate") else None
    if inflate is None and encoding not in ("", "identity"):
        raise ProviderRejectedError(f"The answer is encoded as {encoding[:20]}.", code="provider_bad_answer")
    left, raw_left = cap, cap + PACKED_MORE
    async for raw in response.aiter_raw():
        raw_left -= len(raw)
        while True:
            chunk = inflate.decompress(raw, PIECE) if inflate else raw
            left -= len(chunk)
            if min(left, raw_left) < 0:
                what = f"The answer is larger than {cap} bytes."
                raise ProviderRejectedError(what, code="answer_too_large")
            if inflate and inflate.unused_data:  # zlib would keep all that follows, and copy it each time
                raise ProviderRejectedError("The answer goes on after its end.", code="provider_bad_answer")
            yield chunk
            if inflate is None or len(chunk) < PIECE:
                break
            raw = inflate.unconsumed_tail  # noqa: PLW2901 - the rest of what was read
            await asyncio.sleep(0)  # others run meanwhile: 64 KB may hold 64 MB, and 130 ms of work


def origin(url: httpx.URL) -> str:
    """Return scheme, host and port; "" for a relative address."""
    return f"{url.scheme}://{url.host}:{url.port}" if url.host else ""


def among(host: str, hosts: Collection[str]) -> bool:
    """Say if `host` is one of `hosts`: "cdn.example.com", or "*.example.com" for everything below it."""
    return any(host == one or (one[:2] == "*." and host.endswith(one[1:])) for one in hosts)


def strip(request: httpx.Request) -> None:
    """Remove every header that might be a secret; only those known to be harmless stay."""
    for name in [name for name in request.headers if name not in _HARMLESS and name != "host"]:
        if name not in ("content-length", "transfer-encoding"):
            del request.headers[name]


def _seconds(value: str) -> float | None:
    """Return the seconds of a Retry-After, a day at most; None for a date or nonsense."""
    known = value.isascii() and value.replace(".", "", 1).isdigit()
    return min(float(value), LONGEST_RETRY_S) if known else None
