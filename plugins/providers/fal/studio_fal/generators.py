"""One generator per capability, all alike: map, queue, poll, cancel, price, and read webhooks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlencode

import orjson

from studio import (
    BadRequestError,
    Generation,
    GenerationError,
    ProviderError,
    ProviderUnavailableError,
    UnauthenticatedError,
    WebhookNews,
)
from studio_fal.client import client_of
from studio_fal.models import TABLE, JobId, Reader, app_of, cost_of, failure_of, job_of
from studio_jobvendor.api import Inputs, estimate_of

if TYPE_CHECKING:
    from studio import Estimate, GenerationRequest, PluginContext, WebhookCall
    from studio_fal.client import Result
    from studio_fal.settings import FalModel

NAME = "fal_model"
"""The query parameter by which a callback says which model it is about; a webhook's body has the request's id only."""
ERRORS = 400
INPUTS = Inputs("fal")
LATER = {"per_unit": "the vendor tells the units with the result"}


class FalGenerator:
    """What fal does, whatever the medium."""

    capability: ClassVar[str]

    def __init__(self, ctx: PluginContext) -> None:
        self._client = client_of(ctx)
        self._settings = self._client.settings
        self._models = self._settings.offered(self.capability)
        self._reader = Reader(self._settings)

    async def submit(self, request: GenerationRequest) -> Generation:
        """Queue a request."""
        name, model = INPUTS.choose(self._models, request)
        given = await INPUTS.input_of(model, request, self._client.deliver)
        job = await self._client.submit(name, model, given, _callback(request.callback_url, name))
        return Generation(provider_job_id=str(job))

    async def poll(self, provider_job_id: str) -> Generation:
        """Ask for the state; once COMPLETED, for the result, which may turn out to be a failure."""
        job = job_of(provider_job_id)
        status = await self._client.status(job)
        if TABLE.state(status.status) == "running":
            return Generation(provider_job_id=provider_job_id)
        if status.error or status.error_type:
            return self._failed(job, await self._reason(job), status.error, status.error_type)
        result = await self._client.result(job)
        if result.status >= ERRORS:
            return self._failed(job, result)
        model = self._settings.models.get(job.name)
        files = self._reader.files(result.body, model, self.capability)
        return self._finished(job, files, cost_of(model, result.units))

    async def _reason(self, job: JobId) -> Result | None:
        try:
            return await self._client.result(job)
        except (ProviderError, ProviderUnavailableError):
            return None  # the state has told enough

    def _failed(
        self, job: JobId, result: Result | None, error: Any = None, error_type: str | None = None
    ) -> Generation:
        model = self._settings.models.get(job.name)
        body: Any = {"detail": error}
        words: list[object] = [error_type]
        if result is not None and result.status >= ERRORS:
            body, words = result.body, [error_type, result.error_type, result.status]
        failure = failure_of(body, model, *words)
        if result is not None and result.again is not None:
            failure = failure.model_copy(update={"retryable": result.again})
        return self._generation(job, failure, cost_of(model, result.units) if result else None)

    def _finished(
        self, job: JobId, outcome: tuple[Any, ...] | GenerationError, cost: int | None = None
    ) -> Generation:
        """Return what finished work means; it is charged also where its files cannot be used."""
        done = self._generation(job, outcome, cost)
        return done if done.usage else done.model_copy(update={"usage": {"calls": 1}})

    def _generation(
        self, job: JobId, outcome: tuple[Any, ...] | GenerationError, cost: int | None = None
    ) -> Generation:
        if not isinstance(outcome, GenerationError):
            images = len(outcome) if outcome[0].mime.startswith("image/") else 0
            usage = {"calls": 1} | ({"images": images} if images else {})
            return Generation(
                provider_job_id=str(job), state="succeeded", files=outcome, usage=usage,
                cost_uusd=cost, cost_source="computed",
            )  # fmt: skip
        state = "cancelled" if outcome.code == "cancelled" else "failed"
        return Generation.model_validate(
            {
                "provider_job_id": str(job),
                "state": state,
                "error": outcome,
                "cost_uusd": cost,
                "cost_source": "computed",
            }
        )

    async def cancel(self, provider_job_id: str) -> bool:
        """Ask for the end of a request; one that has started may still succeed."""
        return await self._client.cancel(job_of(provider_job_id))

    def estimate(self, request: GenerationRequest) -> Estimate:
        """Say what a request would cost, where the vendor's units are known before."""
        return estimate_of(INPUTS, *INPUTS.choose(self._models, request), request, LATER)

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Check and read a call; a success is asked for again where only the result tells what it costs."""
        signed_id = await self._client.signatures.verify(call)
        raw = _body(call.body)
        request_id = raw.get("request_id")
        if not isinstance(request_id, str):
            raise BadRequestError("The body names no request.")
        if signed_id not in (request_id, raw.get("gateway_request_id")):
            raise UnauthenticatedError("The signature is for another request.", code="webhook_signature")
        kind = raw.get("status")
        if kind not in ("OK", "ERROR"):
            raise BadRequestError("The body says neither OK nor ERROR.")
        job = self._job(call, request_id)
        told = self._told(job, kind, raw) if job else None
        return WebhookNews(
            delivery_id=request_id, kind=kind, provider_job_id=str(job) if job else None, generation=told
        )

    def _job(self, call: WebhookCall, request_id: str) -> JobId | None:
        name = next(iter(parse_qs(call.query).get(NAME, [])), "")
        model = self._settings.models.get(name)
        return job_of(f"{name}|{app_of(model.endpoint)}|{request_id}") if model else None

    def _told(self, job: JobId, kind: str, raw: dict[str, Any]) -> Generation | None:
        model: FalModel = self._settings.models[job.name]
        payload = raw.get("payload")
        if kind == "ERROR":
            status = re.search(r"status code: (\d{3})$", str(raw.get("error")))
            words = [raw.get("error_type"), *([int(status[1])] if status else [])]
            told = payload if isinstance(payload, dict) else {"detail": raw.get("error")}
            return self._generation(job, failure_of(told, model, *words))
        if payload is None or model.unit_price_uusd is not None:
            return None
        return self._finished(job, self._reader.files(payload, model, self.capability))


def _callback(url: str | None, name: str) -> str | None:
    return f"{url}{'&' if '?' in url else '?'}{urlencode({NAME: name})}" if url else None


def _body(body: bytes) -> dict[str, Any]:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError("The body is no JSON.") from error
    if not isinstance(raw, dict):
        raise BadRequestError("The body is no object.")
    return raw


class FalImageGenerator(FalGenerator):
    """Draws panels."""

    capability = "image"


class FalImageEditor(FalGenerator):
    """Changes pictures."""

    capability = "image_edit"


class FalVideoGenerator(FalGenerator):
    """Animates stills."""

    capability = "video"


class FalMusicGenerator(FalGenerator):
    """Composes beds."""

    capability = "music"
