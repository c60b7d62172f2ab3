"""What goes to the vendor and what its words mean. Source: botocore 1.44.5, bedrock-runtime 2023-09-30."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from studio import ChatMessage, ChatRequest, Fault, ModelSpec, ProviderRejectedError, VendorTable
from studio_bedrock.api import BedrockModelId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from studio_bedrock.settings import BedrockSettings

TABLE = VendorTable(
    vendor="Bedrock",
    states={
        "end_turn": "succeeded",
        "stop_sequence": "succeeded",
        "max_tokens": "succeeded",
        "tool_use": "succeeded",
        "guardrail_intervened": "failed",
        "content_filtered": "failed",
        "malformed_model_output": "failed",
        "malformed_tool_use": "failed",
        "model_context_window_exceeded": "failed",
    },
    errors={
        "guardrail_intervened": Fault("content_refused", input="prompt"),
        "content_filtered": Fault("content_refused", input="prompt"),
        "malformed_model_output": Fault("answer_malformed"),
        "malformed_tool_use": Fault("bad_tool_arguments"),
        "model_context_window_exceeded": Fault("prompt_too_long", input="prompt"),
        "ConflictException": Fault("provider_conflict"),
        "ModelErrorException": Fault("provider_model_failed"),
        "ModelStreamErrorException": Fault("provider_model_failed"),
        "ModelTimeoutException": Fault("provider_timeout"),
        "ModelNotReadyException": Fault("provider_rate_limited", retryable=True),
        "ResourceNotFoundException": Fault("model_not_found", input="model"),
        "ServiceQuotaExceededException": Fault("provider_quota_exceeded"),
        "ServiceUnavailableException": Fault("provider_overloaded", retryable=True),
        "ThrottlingException": Fault("provider_rate_limited", retryable=True),
        "ValidationException": Fault("provider_rejected"),
        429: Fault("provider_rate_limited", retryable=True),
    },
)
"""Its reasons to stop, and its errors; a failed answer is charged, a refused call is not.

AccessDeniedException is left to its status: the key, or the model, is not allowed.
"""

STOPS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
"""Its reasons to stop by the names that are the same for all vendors."""
_USAGE = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_tokens",
    "cacheWriteInputTokens": "cache_write_tokens",
}
_PRICED = {
    "input_tokens": "input", "output_tokens": "output", "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
}  # fmt: skip
_TOOL = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CALL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


class ChatParams(BaseModel):
    """What `ChatRequest.params` may hold: nothing else reaches the vendor."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    top_p: float | None = Field(None, ge=0, le=1)
    stop_sequences: list[Annotated[str, StringConstraints(min_length=1)]] | None = Field(None, max_length=100)
    tool_choice: str | None = None
    """"auto", "any", or the name of a tool."""
    schema_name: str | None = Field(None, pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    schema_description: str | None = Field(None, max_length=1_000)


def params_of(request: ChatRequest) -> ChatParams:
    """Check `request.params`; raises ProviderRejectedError naming what is wrong."""
    try:
        return ChatParams.model_validate(request.params)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ProviderRejectedError(f"These params cannot be used: {told}.", input="params") from error


def body_of(request: ChatRequest, cache_ttl: str) -> dict[str, Any]:
    """Return the body of a Converse call; raises ProviderRejectedError for what the API cannot take."""
    params = params_of(request)
    body: dict[str, Any] = {"messages": _messages(request.messages)}
    if system := [{"text": m.text} for m in request.messages if m.role == "system" and m.text.strip()]:
        cached = [{"cachePoint": {"type": "default", "ttl": cache_ttl}}] if cache_ttl != "off" else []
        body["system"] = [*system, *cached]
    body["inferenceConfig"] = _inference(request, params)
    if request.tools:
        body["toolConfig"] = _tools(request, params.tool_choice)
    if request.json_schema is not None:
        body["outputConfig"] = {"textFormat": _format(request.json_schema, params)}
    return body


def _inference(request: ChatRequest, params: ChatParams) -> dict[str, Any]:
    if request.max_output_tokens < 1 or not 0 <= (request.temperature or 0) <= 1:
        raise ProviderRejectedError(
            "max_output_tokens is 1 or more, temperature from 0 to 1.", input="temperature"
        )
    found = {
        "maxTokens": request.max_output_tokens,
        "temperature": request.temperature,
        "topP": params.top_p,
        "stopSequences": params.stop_sequences,
    }
    return {name: value for name, value in found.items() if value is not None}


def _messages(messages: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    """Return the turns. Neighbours of one side become one turn: the API wants them to alternate."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        content = [] if message.role == "system" else _content(message)
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += content
        elif content:
            turns.append({"role": role, "content": content})
    if not turns or turns[0]["role"] != "user":
        raise ProviderRejectedError("A conversation begins with the user.", input="messages")
    return turns


def _content(message: ChatMessage) -> list[dict[str, Any]]:
    if message.role == "tool":
        if not _CALL_ID.fullmatch(message.tool_call_id or ""):
            raise ProviderRejectedError("A tool's answer names its call.", input="messages")
        result = {"toolUseId": message.tool_call_id, "content": [{"text": message.text}], "status": "success"}
        return [{"toolResult": result}]
    text = [{"text": message.text}] if message.text.strip() else []
    calls = [
        {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}
        for call in message.tool_calls
    ]
    return [*text, *calls]


def _tools(request: ChatRequest, choice: str | None) -> dict[str, Any]:
    tools = []
    for tool in request.tools:
        if not _TOOL.fullmatch(tool.name):
            raise ProviderRejectedError(f"A tool cannot be called {tool.name[:80]!r}.", input="tools")
        told = {"description": tool.description} if tool.description else {}
        spec = {"name": tool.name, **told, "inputSchema": {"json": tool.parameters}}
        tools.append({"toolSpec": spec})
    if choice is None:
        return {"tools": tools}
    if choice in ("auto", "any"):
        return {"tools": tools, "toolChoice": {choice: {}}}
    if choice not in {tool.name for tool in request.tools}:
        raise ProviderRejectedError(f"params.tool_choice: no tool is called {choice[:80]!r}.", input="params")
    return {"tools": tools, "toolChoice": {"tool": {"name": choice}}}


def _format(schema: Mapping[str, Any], params: ChatParams) -> dict[str, Any]:
    """Return the shape of the answer: the schema is a string here, unlike that of a tool."""
    title = "".join(
        c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in str(schema.get("title", ""))
    )
    named = {"name": params.schema_name or title[:64] or "answer", "description": params.schema_description}
    kept = {name: value for name, value in named.items() if value}
    definition = {"schema": orjson.dumps(schema).decode(), **kept}
    return {"type": "json_schema", "structure": {"jsonSchema": definition}}


def usage_of(found: Any) -> dict[str, int]:
    """Return the counts that the vendor reports; tokens of the cache are not among the input tokens."""
    if not isinstance(found, dict):
        return {}
    counts = {ours: found.get(theirs) for theirs, ours in _USAGE.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int) and count >= 0}


def cost_of(settings: BedrockSettings, model: str, usage: Mapping[str, int]) -> int | None:
    """Return what a usage costs in micro-USD, rounded up; None when the price or the counts are not known."""
    price = settings.prices.get(model)
    if price is None or not {"input_tokens", "output_tokens"} <= usage.keys():
        return None
    each = price.model_dump()
    parts = (usage[unit] * each[kind] for unit, kind in _PRICED.items() if unit in usage)
    return -(-int(sum(parts)) // 1_000_000)


def most_tokens(request: ChatRequest) -> dict[str, int]:
    """Return the most tokens that a request can use: one for each byte of what is sent, as none is shorter.

    Turns, calls, tools and schema count as JSON. What the vendor itself adds to a question is not known here.
    """
    asked = request.model_dump(mode="json", include={"messages", "tools", "json_schema"})
    return {"input_tokens": len(orjson.dumps(asked)), "output_tokens": request.max_output_tokens}


def most_cost(settings: BedrockSettings, model: str, request: ChatRequest) -> int | None:
    """Return the most that a request can cost, in micro-USD; the question counts at its dearest price."""
    price = settings.prices.get(model)
    if price is None:
        return None
    dear = "cache_write_tokens" if price.cache_write > price.input else "input_tokens"
    tokens = most_tokens(request)
    usage = {"input_tokens": 0, "output_tokens": tokens["output_tokens"], dear: tokens["input_tokens"]}
    return cost_of(settings, model, usage)


def models_of(settings: BedrockSettings) -> tuple[ModelSpec, ...]:
    """Return the profiles on offer with their prices; the default comes first."""
    names = dict.fromkeys([settings.default_model, *map(str, BedrockModelId), *settings.profiles])
    specs = []
    for name in names:
        price = settings.prices.get(name)
        kind: Literal["per_1m_tokens", "unknown"] = "per_1m_tokens" if price else "unknown"
        known = (price.input, price.output) if price else (None, None)
        specs.append(ModelSpec(name, kind, known[0], known[1], formats=("application/json",)))
    return tuple(specs)
