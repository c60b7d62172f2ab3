"""Chat over `/responses`, whole, in pieces, or as a job in the background. Source: OpenAI's OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from studio_openai.completions import Believed, Count, Wire
from studio_openai.reply import CUT, FILTERED, Reply, is_strict, schema_name

if TYPE_CHECKING:
    from studio import ChatMessage, ChatRequest, Doc

_STOPS = {"max_output_tokens": CUT, "content_filter": FILTERED}
ENDS = frozenset({"response.completed", "response.failed", "response.incomplete"})


class InputDetails(Wire):
    """How the tokens of the question were counted."""

    cached_tokens: Count | None = None


class OutputDetails(Wire):
    """How the tokens of the answer were counted."""

    reasoning_tokens: Count | None = None


class ResponseUsage(Wire):
    """Tokens."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None

    def counts(self) -> dict[str, int]:
        """Return the counts by the names that are the same for all vendors."""
        cached = self.input_tokens_details.cached_tokens if self.input_tokens_details else None
        thought = self.output_tokens_details.reasoning_tokens if self.output_tokens_details else None
        more = {"cached_tokens": cached, "reasoning_tokens": thought}
        found = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        return found | {name: count for name, count in more.items() if count}


class Part(Wire):
    """A part of a message: `output_text` or `refusal`."""

    type: str
    text: str = ""
    refusal: str = ""


class Item(Wire):
    """One item of the output: a message, a call, a thought."""

    type: str
    content: tuple[Part, ...] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class Trouble(Wire):
    """Why a response failed."""

    code: str | None = None
    message: str | None = None


class Incomplete(Wire):
    """Why a response is not whole."""

    reason: str | None = None


class Format(Wire):
    """In which form the text was asked for."""

    type: str = "text"


class TextSettings(Wire):
    """How the text was asked for."""

    format: Format | None = None


class Response(Wire):
    """A response in any of its states."""

    id: str
    status: str
    model: str | None = None
    text: TextSettings | None = None
    output: tuple[Item, ...] = ()
    usage: Believed[ResponseUsage] = None
    error: Trouble | None = None
    incomplete_details: Incomplete | None = None

    @property
    def wants_json(self) -> bool:
        """Whether the text was asked for as JSON."""
        return bool(self.text and self.text.format and self.text.format.type == "json_schema")

    def reply(self) -> Reply:
        """Return what was said."""
        parts = [p for item in self.output if item.type == "message" for p in item.content or ()]
        text = "".join(part.text for part in parts if part.type == "output_text")
        refusal = "".join(part.refusal for part in parts if part.type == "refusal")
        uses = [item for item in self.output if item.type == "function_call"]
        calls = tuple((use.call_id, use.name, use.arguments) for use in uses)
        why = self.incomplete_details.reason if self.incomplete_details else None
        stop = _STOPS.get(why, why) if why else "tool_calls" if calls else "stop"
        return Reply(self.id, text, refusal, calls, stop, self.usage.counts() if self.usage else {})


class ResponseEvent(Wire):
    """One event of the stream: those that end it carry the whole response."""

    type: str
    delta: Any = None
    response: Response | None = None
    code: str | None = None
    message: str | None = None


def response_body(request: ChatRequest, model: str, *, background: bool) -> Doc:
    """Return the body of a call. Structured output is flat under `text.format` here.

    Only what runs in the background is kept at the vendor: it could not be asked for otherwise.
    """
    items = [item for message in request.messages for item in _items(message)]
    body: Doc = {"model": model, "input": items, "max_output_tokens": request.max_output_tokens}
    body["store"] = background
    if background:
        body["background"] = True
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.tools:
        body["tools"] = [{"type": "function", **tool.model_dump(), "strict": False} for tool in request.tools]
    if (schema := request.json_schema) is not None:
        named = {"name": schema_name(schema), "schema": schema, "strict": is_strict(schema)}
        body["text"] = {"format": {"type": "json_schema", **named}}
    return body


def _items(message: ChatMessage) -> list[Doc]:
    if message.role == "tool":
        said = {"call_id": message.tool_call_id or "", "output": message.text}
        return [{"type": "function_call_output", **said}]
    calls = [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": orjson.dumps(call.arguments).decode(),
        }
        for call in message.tool_calls
    ]
    return [*([{"role": message.role, "content": message.text}] if message.text or not calls else []), *calls]
