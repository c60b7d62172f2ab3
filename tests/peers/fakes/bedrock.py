"""Bedrock's Converse API as far as Studio uses it, whole and as an event stream; answers as it is told.

It is stricter than the vendor: the path must be the ARN in one encoded segment, byte for byte, and unknown fields are
refused.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import zlib
from urllib.parse import quote

from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY = "bedrock-api-key-0123456789abcdef"
REGION, ACCOUNT = "us-east-1", "123456789012"
PROFILE = re.compile(r"[a-z]+\.[a-z]+\.[a-z0-9.:-]+")
FIELDS = {
    "messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "additionalModelRequestFields",
    "promptVariables", "additionalModelResponseFieldPaths", "requestMetadata", "performanceConfig", "serviceTier",
    "outputConfig",
}  # fmt: skip
STATUS = {
    "AccessDeniedException": 403, "ValidationException": 400, "ServiceQuotaExceededException": 400,
    "ConflictException": 400, "ResourceNotFoundException": 404, "ModelTimeoutException": 408,
    "ModelErrorException": 424, "ModelStreamErrorException": 424, "ThrottlingException": 429,
    "ModelNotReadyException": 429, "InternalServerException": 500, "ServiceUnavailableException": 503,
}  # fmt: skip


class Fake(FakeVendor):
    """`say` puts an answer in line; without one it answers "Understood." or the smallest JSON of the schema."""

    piece = 7
    """Bytes that a stream sends at once, whatever lies in them."""

    def __init__(self):
        super().__init__()
        self.answers = []
        self.charged = 0
        self.stream_fault = ""
        """"cut", "bad_crc", "no_end", or the name of an exception inside the stream."""

    def say(self, text="", calls=(), stop=None, usage=None):
        """`calls` are (id, name, arguments)."""
        self.answers.append((text, list(calls), stop, usage))

    def refuse(self, word, message="no"):
        """Answer the next call with an error of this type."""
        self.answers.append(word if isinstance(word, Exception) else error(word, message))

    def routes(self):
        return [web.post("/model/{rest:.*}", self.model)]

    def error_body(self, status):
        return {"message": f"status {status}"}

    async def model(self, request):
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return error(
                "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid."
            )
        found = re.fullmatch(r"/model/([^/]+)/(converse|converse-stream)", request.raw_path)
        profile = profile_of(found[1]) if found else None
        if profile is None:
            return error("ResourceNotFoundException", "The provided model identifier is invalid.")
        body = await request.json()
        wrong = malformed(body)
        if wrong:
            return error("ValidationException", wrong)
        answer = self.answers.pop(0) if self.answers else (*default(body), None, None)
        if isinstance(answer, web.Response):
            return answer
        self.charged += 1
        text, calls, stop, usage = answer
        stop = stop or ("tool_use" if calls else "end_turn")
        usage = usage or {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17}
        if found[2] == "converse":
            return self.whole(text, calls, stop, usage)
        return await self.streamed(request, frames(text, calls, stop, usage))

    def whole(self, text, calls, stop, usage):
        content = [{"text": text}] if text else []
        content += [{"toolUse": {"toolUseId": i, "name": name, "input": given}} for i, name, given in calls]
        document = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 420},
        }  # fmt: skip
        return web.json_response(document, headers={"x-amzn-RequestId": f"request-{self.charged}"})

    async def streamed(self, request, made):
        headers = {
            "Content-Type": "application/vnd.amazon.eventstream", "x-amzn-RequestId": f"request-{self.charged}",
        }  # fmt: skip
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        if self.stream_fault.endswith("Exception"):
            made = [*made[:2], exception(self.stream_fault)]
        data = b"".join(made[:-2] if self.stream_fault == "no_end" else made)
        if self.stream_fault == "bad_crc":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.stream_fault == "cut":
            data = data[: len(data) // 2]
        for start in range(0, len(data), self.piece):
            await response.write(data[start : start + self.piece])
            await asyncio.sleep(0)
        return response


def profile_of(segment):
    """Return the inference profile if the segment is its ARN as botocore encodes it."""
    start = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/"
    encoded = quote(start, safe="")
    rest = segment.removeprefix(encoded)
    plain = rest.replace("%3A", ":")
    good = rest != segment and "%" not in plain and quote(plain, safe="") == rest
    return plain if good and PROFILE.fullmatch(plain) else None


def error(word, message):
    headers = {"x-amzn-ErrorType": f"{word}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    return web.json_response({"message": message}, status=STATUS[word], headers=headers)


def default(body):
    if "outputConfig" not in body:
        return "Understood.", []
    schema = json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
    return json.dumps(smallest(schema)), []


def smallest(schema):
    kinds = {"string": "x", "number": 1, "integer": 1, "boolean": True, "array": [], "null": None}
    if schema.get("type") == "object":
        return {name: smallest(schema["properties"][name]) for name in schema.get("required", ())}
    return kinds[schema["type"]]


def malformed(body):
    """Return what is wrong with a request, as the vendor would tell it; None when it is good."""
    if unknown := set(body) - FIELDS:
        return f"extraneous key {unknown} is not permitted"
    checks = (
        _messages(body.get("messages")), _system(body.get("system", [])), _inference(body.get("inferenceConfig", {})),
        _tools(body.get("toolConfig")), _output(body.get("outputConfig")),
    )  # fmt: skip
    return next(filter(None, checks), None)


def _messages(messages):
    if not messages or messages[0]["role"] != "user":
        return "A conversation must start with a user message."
    open_calls = set()
    for number, message in enumerate(messages):
        if message["role"] != ("user", "assistant")[number % 2]:
            return "A conversation must alternate between user and assistant roles."
        if not message["content"] or not all(map(_good_block, message["content"])):
            return "A Message needs content, and a ContentBlock one member; its text cannot be blank."
        answered = {b["toolResult"]["toolUseId"] for b in message["content"] if "toolResult" in b}
        if message["role"] == "user" and answered != open_calls:
            return "Expected toolResult blocks for the toolUse blocks of the turn before."
        open_calls = {b["toolUse"]["toolUseId"] for b in message["content"] if "toolUse" in b}
    return "A conversation must end with a user message." if messages[-1]["role"] != "user" else None


def _good_block(block):
    return len(block) == 1 and ("text" not in block or bool(block["text"].strip()))


def _system(blocks):
    for number, block in enumerate(blocks):
        if "cachePoint" in block:
            point = block["cachePoint"]
            if number == 0 or point["type"] != "default" or point.get("ttl", "5m") not in ("5m", "1h"):
                return "A cachePoint must follow content and have a known ttl."
        elif not block.get("text"):
            return "The text field in the SystemContentBlock is empty."
    return None


def _inference(config):
    if set(config) - {"maxTokens", "temperature", "topP", "stopSequences"}:
        return "inferenceConfig has an unknown member."
    if (
        config.get("maxTokens", 1) < 1
        or not 0 <= config.get("temperature", 0) <= 1
        or not 0 <= config.get("topP", 0) <= 1
    ):
        return "inferenceConfig is out of its range."
    return None


def _tools(config):
    if config is None:
        return None
    for tool in config["tools"]:
        spec = tool["toolSpec"]
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", spec["name"]) or not isinstance(
            spec["inputSchema"]["json"], dict
        ):
            return "A toolSpec needs a name and an inputSchema that is an object."
        if spec.get("description") == "":
            return "A description cannot be empty."
    if len(config.get("toolChoice", {"auto": {}})) != 1:
        return "toolChoice must set one of its members."
    return None


def _output(config):
    if config is None:
        return None
    shape = config["textFormat"]
    schema = shape["structure"]["jsonSchema"]["schema"]
    if shape["type"] != "json_schema" or not isinstance(schema, str):
        return "The schema must be a string."
    return None if isinstance(json.loads(schema), dict) else "The schema must be an object."


# ---------------------------------------------------------------- event stream


def frames(text, calls, stop, usage):
    """Return the events of an answer, encoded."""
    made = [event("messageStart", {"role": "assistant"})]
    index = 0
    if text:
        for start in range(0, len(text), 5):
            delta = {"delta": {"text": text[start : start + 5]}, "contentBlockIndex": 0}
            made.append(event("contentBlockDelta", delta))
        made.append(event("contentBlockStop", {"contentBlockIndex": 0}))
        index = 1
    for number, (call_id, name, given) in enumerate(calls, index):
        start = {"start": {"toolUse": {"toolUseId": call_id, "name": name}}, "contentBlockIndex": number}
        made.append(event("contentBlockStart", start))
        told = json.dumps(given) if given or not isinstance(given, dict) else ""
        for at in range(0, len(told), 9):
            delta = {"delta": {"toolUse": {"input": told[at : at + 9]}}, "contentBlockIndex": number}
            made.append(event("contentBlockDelta", delta))
        made.append(event("contentBlockStop", {"contentBlockIndex": number}))
    made.append(event("messageStop", {"stopReason": stop}))
    made.append(event("metadata", {"usage": usage, "metrics": {"latencyMs": 420}}))
    return made


def event(kind, content):
    return frame(
        {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, content
    )


def exception(word):
    """`word` is the name of a member of the stream, such as throttlingException."""
    headers = {":exception-type": word, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, {"message": "Too many requests"})


def frame(headers, content):
    """Encode one message: lengths, their CRC, headers of text, payload, CRC of all."""
    named = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    prelude = struct.pack(">II", 16 + len(named) + len(payload), len(named))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + payload
    return whole + struct.pack(">I", zlib.crc32(whole))
