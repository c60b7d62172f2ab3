"""Every call of a provider goes through here: deadline, circuit breaker, limit, and one table of errors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from studio.breaker import FAILURES
from studio.errors import (
    DeadlineExceededError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StudioError,
    UnavailableError,
)
from studio.telemetry import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from studio.breaker import Breaker
    from studio.providers.contract import Estimate, Generation, ProviderSpec


class BoundProvider:
    """A provider ready for use; what else its protocol offers (voices, put, send) is an attribute too."""

    def __init__(
        self, plugin: str, spec: ProviderSpec, target: Any, slots: asyncio.Semaphore, breaker: Breaker
    ) -> None:
        self.plugin, self.spec, self.name, self.breaker = plugin, spec, spec.name, breaker
        self._target, self._slots = target, slots

    async def submit(self, request: Any) -> Generation:
        """Start the work. Raises OutcomeUnknownError when nobody can say whether it was started."""
        return await self._call(self._target.submit, request, creates=not self.spec.idempotent_submit)  # type: ignore[no-any-return]

    async def poll(self, provider_job_id: str) -> Generation:
        """Report on work started earlier; may be asked again after any error but ProviderRejectedError."""
        return await self._call(self._target.poll, provider_job_id)  # type: ignore[no-any-return]

    async def cancel(self, provider_job_id: str) -> bool:
        """Ask the vendor to stop; False when it cannot any more."""
        return await self._call(self._target.cancel, provider_job_id)  # type: ignore[no-any-return]

    def estimate(self, request: Any) -> Estimate:
        """Say what `request` would cost, without a call."""
        return self._target.estimate(request)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._target, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(method, *args, **kwargs)

        return call

    async def _call(
        self, method: Callable[..., Awaitable[Any]], *args: Any, creates: bool = False, **kwargs: Any
    ) -> Any:
        if not self.breaker.allow():
            wait = self.breaker.wait_s
            detail = f"{self.name} has failed {FAILURES} times in a row; it is asked again in {wait:.0f} s."
            raise ProviderUnavailableError(detail, retry_after=wait)
        async with self._slots:
            try:
                async with asyncio.timeout(self.spec.deadline_s):
                    result = await method(*args, **kwargs)
            except Exception as error:  # the boundary to a stranger's code: whatever it raises gets a class
                raised = self._classified(error, creates=creates)
                raised.detail = redact(raised.detail)  # stored and shown: a vendor may quote the key
                outage = isinstance(raised, (ProviderError, UnavailableError, DeadlineExceededError))
                well = not outage or isinstance(raised, ProviderRejectedError)
                (self.breaker.success if well else self.breaker.failure)()
                if raised is error:
                    raise
                raise raised from error
        self.breaker.success()
        return result

    def _classified(self, error: Exception, *, creates: bool) -> StudioError:
        known = isinstance(error, (ProviderError, UnavailableError)) or getattr(error, "status", 500) < 500  # noqa: PLR2004 - below 500 the caller is at fault
        if isinstance(error, StudioError) and (known or not creates):
            return error
        if isinstance(error, TimeoutError):
            detail = f"{self.name} did not answer within {self.spec.deadline_s:g} s."
        else:
            detail = f"{self.name} failed with {type(error).__name__}."
        unknown = f"{detail} The work may have been started."
        return OutcomeUnknownError(unknown) if creates else ProviderError(detail)
