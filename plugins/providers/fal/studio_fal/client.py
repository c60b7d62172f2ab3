"""fal's queue. Source: docs.fal.ai, queue; requests compared with fal-client 1.0.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import orjson

from studio import OutcomeUnknownError, ProviderError, json_object
from studio_fal.models import JobId, Status, job_from, read_status, refusal
from studio_fal.settings import FalSettings
from studio_fal.storage import Storage
from studio_fal.webhooks import Signatures
from studio_jobvendor.api import UNREADABLE, sent_or_put

if TYPE_CHECKING:
    from pathlib import Path

    from studio import HttpAnswer, PluginContext
    from studio_fal.settings import FalModel

INLINE_BYTES = 1_000_000
"""Up to here a file travels inside the request."""
ANSWER_BYTES = 5_000_000
OK, ACCEPTED, ERRORS, REFUSED = 200, 202, 300, 400
OUR_FAULT = (401, 402, 403, 404)
"""Statuses that speak of the key or the address, never of what a model did."""
FAILED = frozenset(range(500, 600))
"""A result that is asked for can be a failure of the model, with a server's status and a body that says so."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a result's address says. `again`: whether to repeat the work, where the vendor tells."""

    status: int
    body: Any
    units: str | None = None
    error_type: str | None = None
    again: bool | None = None


class FalClient:
    """Calls fal with the operator's key; no caller names an address, a header or a key."""

    def __init__(self, ctx: PluginContext, settings: FalSettings) -> None:
        self.settings = settings
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        private = settings.private_hosts
        headers = {"Authorization": f"Key {key}"}
        self._queue = ctx.http.client(
            "fal",
            settings.queue_url,
            settings.deadline_s,
            ANSWER_BYTES,
            headers=headers,
            allow_private=private,
        )
        self._storage = Storage(ctx, settings, headers)
        self.signatures = Signatures(
            ctx.http.client("fal-keys", settings.rest_url, max_bytes=200_000, allow_private=private), settings
        )

    # ------------------------------------------------------------ queue

    async def submit(self, name: str, model: FalModel, given: dict[str, Any], callback: str | None) -> JobId:
        """Queue a request, sent once at most.

        Raises ProviderRejectedError, ProviderError or ProviderUnavailableError when it was refused,
        OutcomeUnknownError when it may run and nobody knows where.
        """
        params = {"fal_webhook": callback} if callback and callback.startswith("https://") else {}
        try:
            answer = await self._queue.request(
                "POST", f"/{model.endpoint}", params=params, json=given, headers=self._wishes()
            )
        except ProviderError as error:
            if error.code in UNREADABLE:  # an answer came: it is no refusal
                raise OutcomeUnknownError(
                    "fal took the request with an answer that cannot be read."
                ) from error
            raise
        if answer.status >= ERRORS:
            raise refusal(answer, model)
        try:
            raw = json_object(answer)
        except ProviderError as error:
            raise OutcomeUnknownError("fal took the request with an answer that cannot be read.") from error
        return job_from(name, raw, self.settings.queue_url)

    def _wishes(self) -> dict[str, str]:
        settings, headers = self.settings, {}
        if settings.start_timeout_s is not None:
            headers["X-Fal-Request-Timeout"] = str(float(settings.start_timeout_s))
        if settings.queue_priority != "normal":
            headers["X-Fal-Queue-Priority"] = settings.queue_priority
        if settings.keep_outputs_s is not None:
            kept = {"expiration_duration_seconds": settings.keep_outputs_s}
            headers["X-Fal-Object-Lifecycle-Preference"] = orjson.dumps(kept).decode()
        return headers

    async def status(self, job: JobId) -> Status:
        """Ask for a request's state; raises ProviderRejectedError for one that is not there."""
        answer = await self._queue.request("GET", f"{job.path}/status")
        if answer.status not in (OK, ACCEPTED):
            raise refusal(answer)
        return read_status(json_object(answer))

    async def result(self, job: JobId) -> Result:
        """Fetch a result or the failure that stands in its place.

        Raises ProviderError for an error without a body of fal's: the way there was broken, ask again.
        """
        answer = await self._queue.request("GET", job.path, returned=FAILED)
        if answer.status in OUR_FAULT:
            raise refusal(answer)
        try:
            body = answer.json()
        except ProviderError:
            if answer.status == OK:
                raise
            body = None
        told = answer.headers.get("x-fal-error-type")
        theirs = told is not None or (isinstance(body, dict) and "detail" in body)
        if answer.status != OK and not (answer.status >= REFUSED and theirs):
            raise ProviderError(f"fal answered {answer.status} where a result should be.")
        return Result(answer.status, body, answer.headers.get("x-fal-billable-units"), told, _again(answer))

    async def cancel(self, job: JobId) -> bool:
        """Ask for a request's end; False when it is over or unknown."""
        answer = await self._queue.request("PUT", f"{job.path}/cancel", kind="safe")
        if answer.status in (OK, ACCEPTED):
            return True
        if answer.status in (400, 404):
            return False
        raise refusal(answer)

    # ------------------------------------------------------------ files

    async def deliver(self, path: Path) -> str:
        """Return what stands for a local file in an input: a data URI, or the address of an upload."""
        return await sent_or_put(path, INLINE_BYTES, self.settings.max_input_bytes, self._storage.put)


def _again(answer: HttpAnswer) -> bool | None:
    """Return what the headers say of a repetition; a limit of our own that ran out would run out again."""
    if answer.headers.get("x-fal-request-timeout-type") == "user":
        return False
    return {"true": True, "false": False}.get(answer.headers.get("x-fal-retryable", "").lower())


_clients: WeakKeyDictionary[Any, FalClient] = WeakKeyDictionary()


def client_of(ctx: PluginContext) -> FalClient:
    """Return the client of a plugin context, one for all capabilities."""
    if ctx not in _clients:
        _clients[ctx] = FalClient(ctx, ctx.settings(FalSettings))
    return _clients[ctx]
