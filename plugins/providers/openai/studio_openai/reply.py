"""What a chat model said, whatever its wire looks like, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from studio import Generation, GenerationError, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio import Doc

CUT, FILTERED = "length", "content_filter"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `calls` are (id, name, arguments as text); `stop`: stop, length, tool_calls, content_filter."""

    id: str
    text: str = ""
    refusal: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    stop: str = "stop"
    usage: Mapping[str, int] = field(default_factory=dict)


def conclude(reply: Reply, told_uusd: int | None, *, wants_json: bool) -> Generation:
    """Return the finished generation. A refusal, and JSON that is none, is a failure that is charged.

    `told_uusd`: the cost that the vendor reported; without one the kernel prices the usage, which counts the call too.
    """
    usage = {**reply.usage, "calls": 1}
    common = {"provider_job_id": reply.id, "usage": usage, "cost_uusd": told_uusd}
    try:
        data = _data(reply, wants_json=wants_json)
    except _UnusableError as unusable:
        return Generation(state="failed", error=unusable.error, **common)
    return Generation(state="succeeded", percent=100, data=data, **common)


class _UnusableError(Exception):
    def __init__(self, code: str, message: str, named: str | None = None) -> None:
        super().__init__(message)
        self.error = GenerationError(code=code, message=message[:500], input=named)


def _data(reply: Reply, *, wants_json: bool) -> Doc:
    if reply.refusal or reply.stop == FILTERED:
        raise _UnusableError(
            "content_policy_violation", reply.refusal or "The answer was withheld.", "prompt"
        )
    if not reply.text.strip() and not reply.calls:
        code = "answer_cut" if reply.stop == CUT else "answer_empty"
        raise _UnusableError(code, "The model answered with nothing.")
    calls = [_call(*call) for call in reply.calls]
    parsed = _json(reply) if wants_json and not calls else None
    said = {"text": reply.text, "json": parsed, "stop": reply.stop, "usage": dict(reply.usage)}
    return {**said, "tool_calls": [call.model_dump() for call in calls]}


def _call(call_id: str, name: str, arguments: str) -> ToolCall:
    try:
        found = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise _UnusableError("bad_tool_arguments", f"The model called {name!r} with what is no JSON object.")
    return ToolCall(id=call_id, name=name, arguments=found)


def _json(reply: Reply) -> object:
    try:
        return orjson.loads(reply.text)
    except orjson.JSONDecodeError as error:
        if reply.stop == CUT:
            raise _UnusableError(
                "answer_cut", "The answer is longer than max_output_tokens allows."
            ) from error
        raise _UnusableError("answer_no_json", "The model did not answer with JSON.") from error


def schema_name(schema: Mapping[str, object]) -> str:
    """Return a name that the vendor takes (`[a-zA-Z0-9_-]{1,64}`), from the schema's title."""
    title = str(schema.get("title", ""))
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in title)[:64] or "answer"


def is_strict(schema: object) -> bool:
    """Say if every object of a schema forbids other properties and requires all of its own, as strict mode asks."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        named = properties if isinstance(properties, dict) else {}
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(named):
            return False
    return all(map(is_strict, schema.values()))
