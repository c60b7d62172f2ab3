"""Chat over `/chat/completions`, whole and in pieces. Source: OpenAI's OpenAPI document; many servers speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from studio_openai.reply import Reply, is_strict, schema_name

if TYPE_CHECKING:
    from studio import ChatMessage, ChatRequest, Doc

_STOPS = {"function_call": "tool_calls"}
Count = Annotated[int, Field(ge=0, le=10**12)]
"""So many tokens: a count that cannot be is not believed."""


def _believed(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


T = TypeVar("T")
Believed = Annotated[T | None, WrapValidator(_believed)]
"""A side figure of a vendor: one that cannot be right is not known, and spoils no answer that is paid."""


class Wire(BaseModel):
    """What a vendor sends: fields that are not read are let be."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PromptDetails(Wire):
    """How the tokens of the question were counted."""

    cached_tokens: Count | None = None


class CompletionDetails(Wire):
    """How the tokens of the answer were counted."""

    reasoning_tokens: Count | None = None


class CompletionUsage(Wire):
    """Tokens; `cost_in_usd_ticks` is xAI's own (1e-10 USD)."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cost_in_usd_ticks: int | None = None

    def counts(self) -> dict[str, int]:
        """Return the counts by the names that are the same for all vendors."""
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None
        details = self.completion_tokens_details
        thought = details.reasoning_tokens if details else None
        more = {"cached_tokens": cached, "reasoning_tokens": thought}
        found = {"input_tokens": self.prompt_tokens, "output_tokens": self.completion_tokens}
        return found | {name: count for name, count in more.items() if count}


class Function(Wire):
    """A call's function; `arguments` is JSON as the model wrote it."""

    name: str
    arguments: str = ""


class ToolUse(Wire):
    """A call of a tool."""

    id: str
    function: Function


class Said(Wire):
    """The assistant's turn."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolUse, ...] | None = None


class Choice(Wire):
    """One of the answers; we ask for one."""

    message: Said
    finish_reason: str | None = None


class Completion(Wire):
    """The whole answer."""

    id: str = ""
    choices: tuple[Choice, ...] = Field(min_length=1)
    usage: Believed[CompletionUsage] = None

    def reply(self, fallback_id: str) -> Reply:
        """Return what was said; servers without ids get `fallback_id`."""
        choice = self.choices[0]
        calls = [
            (use.id, use.function.name, use.function.arguments) for use in choice.message.tool_calls or ()
        ]
        stop = choice.finish_reason or "stop"
        return Reply(
            self.id or fallback_id, choice.message.content or "", choice.message.refusal or "", tuple(calls),
            _STOPS.get(stop, stop),
        )  # fmt: skip


def completion_body(request: ChatRequest, model: str) -> Doc:
    """Return the body of a call. Structured output is nested under `response_format.json_schema` here."""
    body: Doc = {"model": model, "messages": [_message(m) for m in request.messages]}
    body["max_completion_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.tools:
        body["tools"] = [{"type": "function", "function": tool.model_dump()} for tool in request.tools]
    if (schema := request.json_schema) is not None:
        named = {"name": schema_name(schema), "schema": schema, "strict": is_strict(schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def streamed(body: Doc) -> Doc:
    """Return the body for an answer in pieces, with the usage at its end."""
    return {**body, "stream": True, "stream_options": {"include_usage": True}}


def _message(message: ChatMessage) -> Doc:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": message.text}
    said: Doc = {"role": message.role, "content": message.text}
    if message.tool_calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()},
            }
            for call in message.tool_calls
        ]
    return said


class FunctionPiece(Wire):
    """A piece of a call's function."""

    name: str | None = None
    arguments: str | None = None


class ToolPiece(Wire):
    """A piece of the call number `index`."""

    index: int = 0
    id: str | None = None
    function: FunctionPiece = FunctionPiece()


class Delta(Wire):
    """What a piece adds."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolPiece, ...] | None = None


class ChoicePiece(Wire):
    """A piece of the answer number `index`."""

    index: int = 0
    delta: Delta = Delta()
    finish_reason: str | None = None


class CompletionPiece(Wire):
    """One event of the stream; the one with the usage has no choices."""

    id: str = ""
    choices: tuple[ChoicePiece, ...] = ()
    usage: Believed[CompletionUsage] = None


class Pieces:
    """Puts an answer together; `whole` is false until the model has said why it stopped, `begun` until it spoke."""

    def __init__(self) -> None:
        self.usage: CompletionUsage | None = None
        self._id, self._stop = "", ""
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, list[str]] = {}

    @property
    def whole(self) -> bool:
        """Whether the end has come."""
        return bool(self._stop)

    @property
    def begun(self) -> bool:
        """Whether anything has come that the vendor may charge."""
        return bool(self.whole or self._calls or any(self._text) or any(self._refusal))

    def add(self, piece: CompletionPiece) -> str:
        """Take one piece and return the text that it adds."""
        self._id = self._id or piece.id
        self.usage = piece.usage or self.usage
        return "".join(self._add(choice) for choice in piece.choices if choice.index == 0)

    def _add(self, choice: ChoicePiece) -> str:
        self._stop = choice.finish_reason or self._stop
        self._refusal.append(choice.delta.refusal or "")
        for piece in choice.delta.tool_calls or ():
            call = self._calls.setdefault(piece.index, ["", "", ""])
            call[0] = piece.id or call[0]
            call[1] = piece.function.name or call[1]
            call[2] += piece.function.arguments or ""
        self._text.append(choice.delta.content or "")
        return self._text[-1]

    def reply(self, fallback_id: str) -> Reply:
        """Return what was said in all."""
        calls = tuple((call[0], call[1], call[2]) for _, call in sorted(self._calls.items()))
        stop = _STOPS.get(self._stop, self._stop)
        text, refusal = "".join(self._text), "".join(self._refusal)
        return Reply(self._id or fallback_id, text, refusal, calls, stop)
