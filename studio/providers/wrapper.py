"""Every call of a provider goes through here: deadline, circuit breaker, limits, and one table of errors."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from studio.boundary import contained
from studio.breaker import FAILURES
from studio.errors import (
    DeadlineExceededError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    RateLimitedError,
    StudioError,
    UnavailableError,
)
from studio.http_call import among
from studio.providers.vendor import price_of
from studio.telemetry import get_logger, redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from studio.breaker import Breaker
    from studio.providers.contract import Estimate, Generation, ProviderSpec
    from studio.providers.limits import Limits
    from studio.providers.requests import ChatDelta, ChatRequest
    from studio.providers.services import WebhookCall, WebhookNews


log = get_logger("studio.providers")
AHEAD = 64
"""How many pieces of a stream are read before its reader wants them: a slow reader holds up no vendor for long."""
UNREADABLE = ("provider_bad_answer", "answer_too_large")
"""An answer came: work that it should confirm may have been started, and a question may be asked again."""


class BoundProvider:
    """A provider ready for use; what else its protocol offers (voices, put, send) is an attribute too."""

    def __init__(self, spec: ProviderSpec, target: Any, limits: Limits, breaker: Breaker) -> None:
        self.spec, self.name, self.breaker = spec, spec.name, breaker
        self._target, self._limits = target, limits

    async def submit(self, request: Any, *, sent: Callable[[], None] | None = None) -> Generation:
        """Start the work; `sent` is called when its turn has come: before that, nothing can have been charged.

        Raises OutcomeUnknownError when nobody can say whether it was started, ProviderUnavailableError when no turn
        came.
        """
        creates = not self.spec.idempotent_submit
        return await self._call(self._target.submit, request, creates=creates, sent=sent)  # type: ignore[no-any-return]

    async def poll(self, provider_job_id: str) -> Generation:
        """Report on work started earlier; may be asked again after any error but ProviderRejectedError."""
        return await self._call(self._target.poll, provider_job_id)  # type: ignore[no-any-return]

    async def cancel(self, provider_job_id: str) -> bool:
        """Ask the vendor to stop; False when it cannot any more."""
        return await self._call(self._target.cancel, provider_job_id)  # type: ignore[no-any-return]

    async def stream(
        self, request: ChatRequest, *, sent: Callable[[], None] | None = None
    ) -> AsyncIterator[ChatDelta]:
        """Yield a chat answer piece by piece up to the one with `done`; `sent` as for `submit`.

        `deadline_s` is for the whole, from the call's turn on and also while nobody reads: then its slot is free again.
        Raises OutcomeUnknownError when it breaks off: what came so far may be charged.
        """
        self._admit()
        pieces: asyncio.Queue[ChatDelta | Exception] = asyncio.Queue()
        room = asyncio.Semaphore(AHEAD)
        pump = asyncio.create_task(self._pump(request, pieces, room, sent))
        try:
            while True:
                piece = await pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                room.release()
                yield piece
                if piece.done is not None:
                    return
        finally:
            pump.cancel()
            await asyncio.wait({pump})

    async def _pump(
        self,
        request: ChatRequest,
        pieces: asyncio.Queue[ChatDelta | Exception],
        room: asyncio.Semaphore,
        sent: Callable[[], None] | None,
    ) -> None:
        """Put the answer into `pieces`, and at last what went wrong: the reader may be away, the clock goes on."""
        with contained(pieces.put_nowait):  # it is the reader's, and raised where that reads
            async with self._limits.turn(self.name):
                if sent is not None:
                    sent()
                await self._read(request, pieces, room)

    async def _read(
        self, request: ChatRequest, pieces: asyncio.Queue[ChatDelta | Exception], room: asyncio.Semaphore
    ) -> None:
        with contained(partial(self._broken_off, room)):  # the vendor's stream: what it raises gets a class
            async with (
                asyncio.timeout(self.spec.deadline_s),
                aclosing(self._target.stream(request)) as answer,
            ):
                async for piece in answer:
                    if piece.done is not None:
                        self.breaker.success()
                    await room.acquire()
                    pieces.put_nowait(piece)
                    if piece.done is not None:
                        return
            raise OutcomeUnknownError(f"{self.name} ended its answer before it was whole.")

    def _broken_off(self, room: asyncio.Semaphore, error: Exception) -> StudioError:
        if isinstance(error, TimeoutError) and room.locked():  # the reader's fault, not the vendor's
            detail = f"Nobody read the answer of {self.name} within {self.spec.deadline_s:g} s."
            return OutcomeUnknownError(detail)
        return self._failed(error, creates=True)

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Read a vendor's call, past circuit and limits: a stranger who sends one may neither close nor use them up."""
        try:
            async with asyncio.timeout(self.spec.deadline_s):
                return await self._target.parse_webhook(call)  # type: ignore[no-any-return]
        except TimeoutError as error:
            raise UnavailableError(f"{self.name} could not check the call in time.") from error

    def ready(self) -> None:
        """Raise ProviderUnavailableError as a call would now: circuit open, or a pause. Asking is no probe."""
        if self.breaker.wait_s:
            raise self._away()
        self._limits.ready(self.name)

    def estimate(self, request: Any) -> Estimate:
        """Say what `request` would cost, without a call."""
        return self._target.estimate(request)  # type: ignore[no-any-return]

    def price(self, model: str | None, usage: Mapping[str, int]) -> int | None:
        """Return what a usage costs by the declared price (micro-USD); None when that is not known."""
        return declared_price(self.spec, model, usage)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._target, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(method, *args, **kwargs)

        return call

    async def _call(
        self,
        method: Callable[..., Awaitable[Any]],
        *args: Any,
        creates: bool = False,
        sent: Callable[[], None] | None = None,
        **kwargs: Any,
    ) -> Any:
        self._admit()
        async with self._limits.turn(self.name):
            if sent is not None:
                sent()
            with contained(partial(self._failed, creates=creates)):  # whatever a stranger raises gets a class
                async with asyncio.timeout(self.spec.deadline_s):
                    result = await method(*args, **kwargs)
        self.breaker.success()
        return result

    def _admit(self) -> None:
        if not self.breaker.allow():
            raise self._away()

    def _away(self) -> ProviderUnavailableError:
        wait = self.breaker.wait_s
        detail = f"{self.name} has failed {FAILURES} times in a row; it is asked again in {wait:.0f} s."
        return ProviderUnavailableError(detail, retry_after=wait)

    def _failed(self, error: Exception, *, creates: bool) -> StudioError:
        """Return the error with its class, after counting it and keeping the pause that the vendor asked for."""
        raised = self._classified(error, creates=creates)
        raised.detail = redact(raised.detail)  # stored and shown: a vendor may quote the key
        busy = isinstance(raised, (ProviderError, RateLimitedError)) and raised.retry_after is not None
        if busy:
            self._limits.pause(raised.retry_after or 0.0)
        outage = isinstance(raised, (ProviderError, UnavailableError, DeadlineExceededError)) and not busy
        well = not outage or isinstance(raised, ProviderRejectedError)
        (self.breaker.success if well else self.breaker.failure)()
        return raised

    def _classified(self, error: Exception, *, creates: bool) -> StudioError:
        unreadable = isinstance(error, ProviderError) and error.code in UNREADABLE
        known = isinstance(error, (ProviderError, UnavailableError)) or getattr(error, "status", 500) < 500  # noqa: PLR2004 - below 500 the caller is at fault
        if isinstance(error, StudioError) and (known or not creates) and not unreadable:
            return error
        if isinstance(error, StudioError):
            detail = error.detail
        elif isinstance(error, TimeoutError):
            detail = f"{self.name} did not answer within {self.spec.deadline_s:g} s."
        else:
            log.error("provider_crashed", provider=self.name, exc_info=error)
            detail = f"{self.name} failed with {type(error).__name__}."
        unknown = f"{detail} The work may have been started."
        code = error.code if isinstance(error, StudioError) and unreadable else None
        return OutcomeUnknownError(unknown) if creates else ProviderError(detail, code=code)


def declared_price(spec: ProviderSpec, model: str | None, usage: Mapping[str, int]) -> int | None:
    """Return what a usage of `model` costs, without a name of the first; None where that is not known."""
    found = next((one for one in spec.models if model in (None, one.name)), None)
    return price_of(found, usage) if found is not None else None


def refuse_foreign_files(spec: ProviderSpec, generation: Generation) -> None:
    """Raise ProviderRejectedError for a file whose address is on none of the provider's own hosts."""
    for url in (file.url for file in generation.files if file.url is not None):
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            host = ""
        if not among(host, spec.file_hosts):
            detail = f"{spec.name} names a file on {host!r}, which is none of its `file_hosts`."
            raise ProviderRejectedError(detail, code="foreign_file")
