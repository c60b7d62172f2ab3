"""The one factory of outgoing HTTP clients: guarded addresses, total deadlines, size caps, retries by class.

Proxies of the environment are not used: through one, the address that is really reached could not be checked.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import orjson

from studio.address_guard import GuardedTransport
from studio.breaker import Breaker
from studio.errors import (
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StorageFullError,
)
from studio.http_call import Call, decoded, origin, strip
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from studio.http_call import Kind
    from studio.telemetry import Metrics

T = TypeVar("T")
CONNECT_S = 5.0
log = get_logger("studio.http")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer: status below 500 and not 429, header names in lower case, the decoded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; raises ProviderError (`provider_bad_answer`) when it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise ProviderError("The answer is no JSON.", code="provider_bad_answer") from error


class HttpStream:
    """An answer that comes in pieces: iterate over its decoded bytes, once, before the loop's time `end`."""

    def __init__(
        self,
        call: Call,
        response: httpx.Response,
        pieces: AsyncIterator[bytes],
        end: float,
        deadline_s: float,
    ) -> None:
        self.status, self.headers = response.status_code, dict(response.headers)
        self._call, self._pieces, self._end, self._deadline_s = call, pieces, end, deadline_s

    def __aiter__(self) -> HttpStream:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._end):
                return await anext(self._pieces)
        except TimeoutError as error:
            raise self._call.late(self._deadline_s) from error

    async def whole(self) -> HttpAnswer:
        """Read the rest at once: a refusal comes in one piece."""
        return HttpAnswer(self.status, self.headers, b"".join([piece async for piece in self]))


class HttpClient:
    """A client for one service. `create` calls are sent once at most, `safe` calls up to four times.

    Raises ProviderError when nothing was sent or a safe call failed for good, OutcomeUnknownError when a
    create call may have arrived, ProviderRejectedError for addresses and answers that no repetition can help,
    and ProviderUnavailableError while the circuit is open. Keys and tokens go to the origin of `base_url`.
    """

    def __init__(
        self,
        name: str,
        metrics: Metrics,
        base_url: str | None,
        deadline_s: float,
        max_bytes: int,
        headers: Mapping[str, str],
        allow_private: Iterable[str],
    ) -> None:
        self.name, self.breaker = name, Breaker()
        self._metrics, self._deadline_s, self._max_bytes = metrics, deadline_s, max_bytes
        self._http = httpx.AsyncClient(
            base_url=base_url or "",
            transport=GuardedTransport(frozenset(allow_private)),
            headers={"User-Agent": "studio", "Accept-Encoding": "gzip", **headers},
            timeout=httpx.Timeout(None, connect=CONNECT_S, pool=deadline_s),
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none is kept, none is sent back
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        kind: Kind | None = None,
        deadline_s: float | None = None,
        max_bytes: int | None = None,
        returned: Collection[int] = (),
        **content: Any,
    ) -> HttpAnswer:
        """Call and read the whole answer; `content` is httpx's: headers, params, json, content, data, files.

        `kind` is "safe" for GET and HEAD unless named, else "create". 4xx answers are returned, 429 and 5xx
        only when `returned` names them: for vendors whose body says which kind it is.
        """
        cap = max_bytes or self._max_bytes

        async def whole(response: httpx.Response) -> HttpAnswer:
            body = b"".join([chunk async for chunk in decoded(response, cap)])
            return HttpAnswer(response.status_code, dict(response.headers), body)

        kind = kind or ("safe" if method.upper() in ("GET", "HEAD") else "create")
        build = partial(self._build, method, url, content)
        call = Call(self.name, self._http, build, kind, returned=returned)
        return await self._run(call, deadline_s, whole)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        deadline_s: float | None = None,
        max_bytes: int | None = None,
        returned: Collection[int] = (),
        **content: Any,
    ) -> AsyncIterator[HttpStream]:
        """Open an answer that comes in pieces, such as server-sent events. Never tried twice."""
        deadline_s, cap = deadline_s or self._deadline_s, max_bytes or self._max_bytes
        end = asyncio.get_running_loop().time() + deadline_s
        build = partial(self._build, method, url, content)
        call = Call(self.name, self._http, build, "create", returned=returned)
        with self._counted(call):
            async with call.opened(end, deadline_s) as response, aclosing(decoded(response, cap)) as pieces:
                yield HttpStream(call, response, pieces, end, deadline_s)

    async def download(
        self,
        url: str,
        target: Path,
        *,
        hosts: Collection[str] | None = None,
        max_bytes: int = 500_000_000,
        deadline_s: float | None = None,
    ) -> str:
        """Copy a file to `target`, following redirects, return its media type; a failure leaves nothing.

        `hosts` are the only ones that it and its redirects may lead to ("cdn.example.com", "*.example.com"); without
        them the file comes from the host of `url`. ProviderRejectedError (`foreign_file`): one leads elsewhere.
        """
        part = target.with_name(f"{target.name}.part")
        build = partial(self._build, "GET", url, {})

        async def to_disk(response: httpx.Response) -> str:
            if not response.is_success:
                raise ProviderRejectedError(f"{self.name} answered {response.status_code} to a download.")
            with part.open("wb") as file:
                async for chunk in decoded(response, max_bytes):
                    file.write(chunk)
            part.replace(target)
            return str(response.headers.get("content-type", "")).partition(";")[0].strip()

        try:
            allowed = [build().url.host] if hosts is None else hosts
            call = Call(self.name, self._http, build, "safe", hosts=allowed)
            return await self._run(call, deadline_s, to_disk)
        except OSError as error:
            raise StorageFullError(f"The download could not be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _build(self, method: str, url: str, content: Mapping[str, Any]) -> httpx.Request:
        try:
            request = self._http.build_request(method, url, **content)
        except httpx.InvalidURL as error:
            raise ProviderRejectedError("The address cannot be read.", code="bad_address") from error
        if origin(self._http.base_url) not in ("", origin(request.url)):
            strip(request)
        return request

    async def _run(
        self, call: Call, deadline_s: float | None, consume: Callable[[httpx.Response], Awaitable[T]]
    ) -> T:
        with self._counted(call):
            return await call.run(deadline_s or self._deadline_s, consume)

    @contextmanager
    def _counted(self, call: Call) -> Iterator[None]:
        if not self.breaker.allow():
            raise ProviderUnavailableError(
                f"{self.name} failed too often; the circuit is open.", retry_after=5
            )
        start, outcome = time.perf_counter(), "ok"
        try:
            yield
        except ProviderError as error:
            outcome = error.code
            log.warning("outgoing_call_failed", where=call.where, code=outcome, error=error.detail)
            if isinstance(error, OutcomeUnknownError) or (error.retryable and error.retry_after is None):
                self.breaker.failure()
            raise
        finally:
            self._metrics.observe_call(self.name, outcome, time.perf_counter() - start)
        self.breaker.success()


class HttpClients:
    """Makes clients, one per service, and closes them at the stop."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._clients: list[HttpClient] = []

    def client(
        self,
        name: str,
        base_url: str | None = None,
        deadline_s: float = 30,
        max_bytes: int = 10_000_000,
        *,
        headers: Mapping[str, str] | None = None,
        allow_private: Iterable[str] = (),
    ) -> HttpClient:
        """Return a client with its own connections and circuit.

        `allow_private` names hosts that the operator configured and that may have a private address, such as
        a model server on this machine; never one that a user or an answer named.
        """
        made = HttpClient(name, self._metrics, base_url, deadline_s, max_bytes, headers or {}, allow_private)
        self._clients.append(made)
        return made

    async def close(self) -> None:
        """Close every client."""
        for client in self._clients:
            await client.close()
