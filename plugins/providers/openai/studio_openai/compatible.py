"""`CompletionsChat`: a chat model over `/chat/completions`, which many vendors and local servers speak."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from studio import ChatDelta, Estimate, Generation, OutcomeUnknownError, price_of
from studio_openai.asking import calls_of
from studio_openai.at_once import AtOnce
from studio_openai.completions import Completion, CompletionPiece, Pieces, completion_body, streamed
from studio_openai.models import ChatParams, params_of
from studio_openai.prices import chosen, priced
from studio_openai.reply import conclude
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from studio import ChatRequest, Doc, ModelSpec, PluginContext
    from studio_openai.client import VendorCalls
    from studio_openai.completions import CompletionUsage
    from studio_openai.models import Params
    from studio_openai.reply import Reply

_PATH = "/chat/completions"


def estimate_of(model: ModelSpec, request: ChatRequest) -> Estimate:
    """Return the most that an answer may cost."""
    cost = price_of(model, most_tokens(request) | {"calls": 1})
    return Estimate(cost_uusd=cost, note="at most, by the length of the question")


def most_tokens(request: ChatRequest) -> dict[str, int]:
    """Return the most tokens that a request can use: one for each byte of what is sent, as none is shorter.

    Turns, calls, tools and schema count as JSON. What the vendor itself adds to a question is not known here.
    """
    asked = request.model_dump(mode="json", include={"messages", "tools", "json_schema"})
    return {"input_tokens": len(orjson.dumps(asked)), "output_tokens": request.max_output_tokens}


class CompletionsChat(AtOnce):
    """Answers at once, and keeps nothing: there is nothing to ask for or to cancel later."""

    def __init__(self, calls: VendorCalls, models: Sequence[ModelSpec], params: type[Params]) -> None:
        self._calls, self._models, self._params = calls, models, params

    async def submit(self, request: ChatRequest) -> Generation:
        """Ask. A refusal of the model is a failed generation, and is charged."""
        body = self._question(request)
        completion, request_id = await self._calls.created(_PATH, Completion, json=body)
        reply = completion.reply(request_id or f"chat-{request.job_id}")
        return self._concluded(reply, completion.usage, request)

    def estimate(self, request: ChatRequest) -> Estimate:
        """Return the most that the answer may cost."""
        return estimate_of(chosen(self._models, request.model), request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer piece by piece. A stream that breaks raises OutcomeUnknownError: it is charged."""
        body = self._question(request)
        pieces = Pieces()
        async with self._calls.events(_PATH, json=streamed(body)) as events:
            async for event in events:
                if event.get("error"):
                    used = self.counts(pieces.usage) if pieces.usage else {}
                    job_id = f"chat-{request.job_id}"
                    yield ChatDelta(done=self._calls.failed(job_id, event, used, begun=pieces.begun))
                    return
                if text := pieces.add(self._calls.paid(CompletionPiece, event)):
                    yield ChatDelta(text=text)
        if not pieces.whole:
            raise OutcomeUnknownError("The answer broke off.")
        reply = pieces.reply(f"chat-{request.job_id}")
        yield ChatDelta(done=self._concluded(reply, pieces.usage, request))

    def counts(self, usage: CompletionUsage) -> dict[str, int]:
        """Return the tokens of an answer, as this vendor counts them."""
        return usage.counts()

    def told(self, usage: CompletionUsage) -> int | None:  # noqa: ARG002 - for vendors that report one
        """Return the cost that the vendor reports, in micro-USD: none here, the kernel prices the tokens."""
        return None

    def _question(self, request: ChatRequest) -> Doc:
        model, params = chosen(self._models, request.model), params_of(self._params, request.params)
        return completion_body(request, model.name) | params.given()

    def _concluded(self, reply: Reply, usage: CompletionUsage | None, request: ChatRequest) -> Generation:
        counted = replace(reply, usage=self.counts(usage)) if usage else reply
        told = self.told(usage) if usage else None
        return conclude(counted, told, wants_json=request.json_schema is not None)


class OpenaiCompatibleChat(CompletionsChat):
    """The same at the server that the operator has named."""

    def __init__(self, ctx: PluginContext) -> None:
        settings = ctx.settings(OpenaiSettings)
        calls = calls_of(ctx, "chat", settings.chat_deadline_s)
        super().__init__(calls, priced(settings.chat_models, settings.prices), ChatParams)
