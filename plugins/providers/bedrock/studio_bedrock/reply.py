"""What a model said, whole or in pieces, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from studio import Generation, GenerationError, OutcomeUnknownError, ToolCall
from studio_bedrock.models import STOPS, TABLE, usage_of

UNREADABLE = "Bedrock answered with what cannot be read; it is charged."


@dataclass
class _Block:
    text: str = ""
    tool: dict[str, Any] | None = None
    arguments: str = ""


@dataclass
class Reply:
    """An answer, put together from one document (`of`) or from events (`add`)."""

    texts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    stop: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    broken_call: str = ""
    _blocks: dict[int, _Block] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Any) -> Reply:
        """Read a Converse answer; raises OutcomeUnknownError when it is none."""
        try:
            content = document["output"]["message"]["content"]
            reply = cls(stop=str(document["stopReason"]), usage=usage_of(document.get("usage")))
            for block in content:
                if "text" in block:
                    reply.texts.append(str(block["text"]))
                elif "toolUse" in block:
                    reply._call(block["toolUse"], block["toolUse"].get("input"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OutcomeUnknownError(UNREADABLE, code="provider_bad_answer") from error
        return reply

    def add(self, kind: str, event: Any) -> str:
        """Take one event of a stream and return the text it brings; raises OutcomeUnknownError."""
        try:
            return self._added(kind, event)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OutcomeUnknownError(UNREADABLE, code="provider_bad_answer") from error

    def _added(self, kind: str, event: Any) -> str:
        if kind == "contentBlockStart":
            self._block(event).tool = event["start"].get("toolUse")
        elif kind == "contentBlockDelta":
            delta, block = event["delta"], self._block(event)
            if "toolUse" in delta:
                block.arguments += delta["toolUse"]["input"]
            text = str(delta.get("text", ""))
            block.text += text
            return text
        elif kind == "messageStop":
            self.stop = str(event["stopReason"])
            self._close()
        elif kind == "metadata":
            self.usage = usage_of(event["usage"])
        return ""

    def _block(self, event: Any) -> _Block:
        return self._blocks.setdefault(int(event["contentBlockIndex"]), _Block())

    def _close(self) -> None:
        for _, block in sorted(self._blocks.items()):
            if block.text:
                self.texts.append(block.text)
            if block.tool is not None:
                self._call(block.tool, _object(block.arguments))
        self._blocks.clear()

    def _call(self, tool: Any, arguments: Any) -> None:
        if not isinstance(arguments, dict):
            self.broken_call = self.broken_call or str(tool["name"])
            return
        self.calls.append(ToolCall(id=str(tool["toolUseId"]), name=str(tool["name"]), arguments=arguments))

    def conclude(self, job_id: str, cost_uusd: int | None, *, wants_json: bool) -> Generation:
        """Return the finished generation. A refusal, and JSON that is none, is a failure that is charged."""
        common: dict[str, Any] = {"provider_job_id": job_id, "usage": self.usage, "cost_uusd": cost_uusd}
        common["cost_source"] = "computed"  # the vendor tells tokens, no money
        text, parsed = "".join(self.texts), None
        error = self._error()
        if error is None and not self.calls:
            parsed = _parsed(text) if wants_json else None
            error = self._unusable(text, parsed)
        if error is not None:
            return Generation(state="failed", error=error, **common)
        stop, calls = STOPS.get(self.stop, self.stop), [call.model_dump() for call in self.calls]
        data = {"text": text, "json": parsed, "tool_calls": calls, "stop": stop, "usage": self.usage}
        return Generation(state="succeeded", percent=100, data=data, **common)

    def _error(self) -> GenerationError | None:
        if TABLE.states.get(self.stop) == "failed":
            return TABLE.failure(self.stop, message=f"The model stopped: {self.stop}.")
        if self.broken_call:
            message = f"The model called {self.broken_call!r} with what is no JSON object."
            return GenerationError(code="bad_tool_arguments", message=message[:500])
        return None

    def _unusable(self, text: str, parsed: Any) -> GenerationError | None:
        """Return what is wrong with an answer without calls: nothing was said, or no JSON."""
        if text and parsed is not _NOTHING:
            return None
        if self.stop == "max_tokens":
            message = "The answer is longer than max_output_tokens allows."
            return GenerationError(code="answer_cut", message=message)
        if not text:
            return GenerationError(code="answer_empty", message="The model ended without an answer.")
        return GenerationError(code="answer_no_json", message="The model did not answer with JSON.")


_NOTHING = object()


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _NOTHING


def _object(text: str) -> Any:
    return _parsed(text) if text else {}
