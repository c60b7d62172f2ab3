"""`OpenaiChatModel`: `/responses`, whole, in pieces, or as a job in the background that webhooks tell of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import ValidationError

from studio import (
    BadRequestError,
    ChatDelta,
    Generation,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    UnavailableError,
    WebhookNews,
    verify_standard_webhook,
)
from studio_openai.asking import calls_of
from studio_openai.compatible import estimate_of
from studio_openai.models import TABLE, ResponseParams, WebhookEvent, params_of
from studio_openai.prices import chosen, priced
from studio_openai.reply import conclude
from studio_openai.responses import ENDS, Response, ResponseEvent, response_body
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import ChatRequest, Doc, Estimate, PluginContext, WebhookCall

_ID = re.compile(r"resp_[A-Za-z0-9_]{1,200}")
_PATH = "/responses"
POLL_S = 2.0


class OpenaiChatModel:
    """Answers at once, unless the request (or the setting) asks for a job in the background."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = settings = ctx.settings(OpenaiSettings)
        self._models = priced(settings.chat_models, settings.prices)
        self._calls = calls_of(ctx, "chat", settings.chat_deadline_s)

    async def submit(self, request: ChatRequest) -> Generation:
        """Ask. A refusal of the model is a failed generation, and is charged."""
        body = self._question(request)
        response, _ = await self._calls.created(_PATH, Response, json=body)
        return self._told(response, wants_json=request.json_schema is not None)

    async def poll(self, provider_job_id: str) -> Generation:
        """Ask about a response in the background; of any other the vendor knows nothing, and says so."""
        _, response = await self._calls.read(f"{_PATH}/{_plain(provider_job_id)}", Response)
        if response is None:
            raise ProviderError("OpenAI answered with nothing.", code="provider_bad_answer")
        # The question is not at hand any more: its format comes back with the response.
        return self._told(response, wants_json=response.wants_json)

    async def cancel(self, provider_job_id: str) -> bool:
        """Stop a response in the background; False when it has ended, or never ran there."""
        try:
            path = f"{_PATH}/{_plain(provider_job_id)}/cancel"
            _, response = await self._calls.read(path, Response, "POST")
        except ProviderRejectedError:
            return False
        return response is not None and TABLE.state(response.status) == "cancelled"

    def estimate(self, request: ChatRequest) -> Estimate:
        """Return the most that the answer may cost."""
        return estimate_of(chosen(self._models, request.model), request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer piece by piece. A stream that breaks raises OutcomeUnknownError: it is charged."""
        body, begun = self._question(request, stream=True), False
        async with self._calls.events(_PATH, json=body) as events:
            async for found in events:
                event = self._calls.paid(ResponseEvent, found)
                begun = begun or event.type.endswith(".delta")
                if event.type == "response.output_text.delta" and event.delta:
                    yield ChatDelta(text=str(event.delta))
                elif event.type in ENDS and event.response is not None:
                    wants_json = request.json_schema is not None
                    done = self._told(event.response, wants_json=wants_json)
                    yield ChatDelta(done=self._calls.charged(done, begun=begun))
                    return
                elif event.type == "error":
                    job_id = f"chat-{request.job_id}"
                    yield ChatDelta(done=self._calls.failed(job_id, {"error": found}, {}, begun=begun))
                    return
        raise OutcomeUnknownError("The answer broke off.")

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Check and read an event; what the response says is asked for, as the event only names it."""
        if self._settings.webhook_secret is None:
            raise UnavailableError("set STUDIO_OPENAI__WEBHOOK_SECRET")
        delivery_id = verify_standard_webhook(call, self._settings.webhook_secret.get_secret_value())
        try:
            event = WebhookEvent.model_validate_json(call.body)
        except ValidationError as error:
            raise BadRequestError("This is no event.") from error
        job = event.data.id if event.type.startswith("response.") else None
        at_ms = event.created_at * 1000 if event.created_at is not None else None
        return WebhookNews(delivery_id=delivery_id, kind=event.type, provider_job_id=job, at_ms=at_ms)

    def _question(self, request: ChatRequest, *, stream: bool = False) -> Doc:
        model, params = chosen(self._models, request.model), params_of(ResponseParams, request.params).given()
        background = params.pop("background", self._settings.background) and not stream
        body = response_body(request, model.name, background=background)
        if effort := params.pop("reasoning_effort", None):
            body["reasoning"] = {"effort": effort}
        if verbosity := params.pop("verbosity", None):
            body["text"] = {**body.get("text", {}), "verbosity": verbosity}
        return body | params | ({"stream": True} if stream else {})

    def _told(self, response: Response, *, wants_json: bool) -> Generation:
        state = TABLE.state(response.status)
        if state == "running":
            return Generation(provider_job_id=response.id, retry_after_s=POLL_S)
        reply = response.reply()
        if state == "succeeded":
            return conclude(reply, None, wants_json=wants_json)
        trouble = response.error
        error = TABLE.failure(trouble.code, message=trouble.message or "") if trouble else None
        usage = {**reply.usage, "calls": 1} if reply.usage else {}
        return Generation(provider_job_id=response.id, state=state, error=error, usage=usage)


def _plain(provider_job_id: str) -> str:
    """Return an id that is a plain path segment; raises ProviderRejectedError for anything else."""
    if not _ID.fullmatch(provider_job_id):
        raise ProviderRejectedError("This is no id of a response.", input="provider_job_id")
    return provider_job_id
