"""OpenAI that is none: chats whole, in pieces and in the background, pictures, edits, voices, signed webhooks.

Source: OpenAI's OpenAPI document (fields, events, errors) and the wire of its SDK 3.54.0. What a call must not
carry is refused with the vendor's own words.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import re
import struct
import time
import zlib
from collections import deque
from email.parser import BytesParser

from aiohttp import web

from studio.testing.vendor import FakeVendor

ENDED = 1_000_000_000
KEY = "sk-fake-0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(b"a webhook secret of 32 bytes, ok").decode()
CHAT_FIELDS = {
    "messages", "model", "response_format", "stream", "stream_options", "tools", "tool_choice",
    "max_completion_tokens", "max_tokens", "temperature", "top_p", "seed", "n", "stop", "reasoning_effort",
    "verbosity", "modalities", "service_tier", "parallel_tool_calls", "metadata", "store", "user",
}  # fmt: skip
RESPONSE_FIELDS = {
    "model", "input", "instructions", "stream", "text", "tools", "tool_choice", "parallel_tool_calls",
    "max_output_tokens", "temperature", "top_p", "reasoning", "store", "previous_response_id", "conversation",
    "background", "truncation", "include", "metadata", "service_tier", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "stream_options",
}  # fmt: skip
DRAW_FIELDS = {
    "prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression",
    "moderation", "stream", "partial_images", "user",
}  # fmt: skip
EDIT_FIELDS = (DRAW_FIELDS - {"moderation"}) | {"images", "mask", "input_fidelity"}
SPEECH_FIELDS = {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"}
VIDEO_FIELDS = {"prompt", "model", "seconds", "size", "input_reference"}
VIDEO_SIZES = ("720x1280", "1280x720", "1024x1792", "1792x1024")
MP4 = b"\x00\x00\x00\x18ftypmp42" + b"a film, as far as we care " * 40
MODERATION_FIELDS = {"input", "model"}
CATEGORIES = {
    "harassment": "t", "harassment/threatening": "t", "hate": "t", "hate/threatening": "t", "illicit": "t",
    "illicit/violent": "t", "self-harm": "ti", "self-harm/intent": "ti", "self-harm/instructions": "ti",
    "sexual": "ti", "sexual/minors": "t", "violence": "ti", "violence/graphic": "ti",
}  # fmt: skip
"""Each category and what it is judged by: text, or text and images."""
VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
CONTENT_TYPES = {
    "mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav",
    "pcm": "audio/pcm",
}  # fmt: skip
PIXEL_LIMIT = 3840 * 2160
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class RefusalError(Exception):
    """An error answer."""

    def __init__(self, status, code, message, param=None, kind="invalid_request_error", headers=None):
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


QUOTA = RefusalError(
    429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details.",
    kind="insufficient_quota",
)  # fmt: skip
MODERATED = RefusalError(
    400, "moderation_blocked", "Your request was rejected by the safety system.",
    kind="image_generation_user_error",
)  # fmt: skip


ENDS = {
    "succeeded": {},
    "failed": {
        "status": "failed",
        "output": [],
        "error": {"code": "server_error", "message": "The model broke down."},
    },
    "refused": {
        "status": "incomplete",
        "output": [],
        "incomplete_details": {"reason": "content_filter"},
    },
    "unusable": {"output": []},
}


class FakeOpenai(FakeVendor):
    """`refusals` are what the next calls get. `answer` is what the model says; the last message may ask for more:
    "refuse", "withhold", "cut", "tool" (with tools on offer), "break" (a stream that ends early)."""

    def __init__(self):
        super().__init__()
        self.answer = "Rain on the harbour."
        self.json_answer = {"mood": "calm"}
        self.refusals = deque()
        self.responses = {}
        self.polls_to_end = 1
        self.draws = "succeeded"
        self.videos = {}
        self.as_it_is = False
        """Answer with what `videos` says, and nothing else."""
        self.video_seconds = ("4", "8", "12")
        """None: a server that makes any length and size."""
        self.films_at_once = False
        """A server whose first answer is the finished video."""
        self._numbers = itertools.count(1)

    def routes(self):
        return [
            web.post("/v1/chat/completions", self._guarded(self._chat)),
            web.post("/v1/responses", self._guarded(self._respond)),
            web.get("/v1/responses/{id}", self._guarded(self._retrieve)),
            web.post("/v1/responses/{id}/cancel", self._guarded(self._cancel)),
            web.post("/v1/images/generations", self._guarded(self._draw)),
            web.post("/v1/images/edits", self._guarded(self._edit)),
            web.post("/v1/audio/speech", self._guarded(self._speak)),
            web.post("/v1/moderations", self._guarded(self._moderate)),
            web.post("/v1/videos", self._guarded(self._film)),
            web.get("/v1/videos/{id}", self._guarded(self._video)),
            web.get("/v1/videos/{id}/content", self._guarded(self._video_content)),
        ]

    def error_body(self, status):
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": f"status {status}", "type": kind, "param": None, "code": None}}

    def end(self, response_id, how):
        """End what runs in the background: succeeded, failed, refused, unusable (nothing was said)."""
        found = self.responses[response_id]
        found[0] = ENDED
        found[1] = found[1] | ENDS[how]

    def webhook(self, kind, response_id, at=None, secret=SECRET):
        """Return (headers, body) of a signed event; an event of a response has one id, however often it comes."""
        at = int(time.time()) if at is None else at
        name = hashlib.sha256(f"{kind} {response_id}".encode()).hexdigest()[:24]
        event = {"id": f"evt_{name}", "object": "event", "created_at": 1764000001, "type": kind}
        body = json.dumps(event | {"data": {"id": response_id}}).encode()
        delivery = f"wh_{name}"
        signed = f"{delivery}.{at}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        mac = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        headers = {"webhook-id": delivery, "webhook-timestamp": str(at), "webhook-signature": f"v1,{mac}"}
        return headers, body

    def _guarded(self, handler):
        async def answer(request):
            try:
                key = request.headers.get("Authorization", "").removeprefix("Bearer ")
                if key != KEY:
                    shown = f"{key[:3]}***"
                    raise RefusalError(401, "invalid_api_key", f"Incorrect API key provided: {shown}.")
                if self.refusals:
                    raise self.refusals.popleft()
                made = await handler(request)
            except RefusalError as refusal:
                made = web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
            if not made.prepared:
                made.headers["x-request-id"] = f"req_{next(self._numbers)}"
            return made

        return answer

    async def _json(self, request, fields):
        try:
            body = json.loads(await request.read())
        except ValueError:
            raise RefusalError(400, None, "We could not parse the JSON body of your request.") from None
        for name in body:
            if name not in fields:
                raise RefusalError(400, "unknown_parameter", f"Unknown parameter: '{name}'.", name)
        if not body.get("model"):
            raise RefusalError(400, None, "you must provide a model parameter")
        if body["model"] == "gone":
            raise RefusalError(404, "model_not_found", "The model `gone` does not exist.")
        return body

    # ---------------------------------------------------------------- chat completions

    async def _chat(self, request):
        body = await self._json(request, CHAT_FIELDS)
        last = body["messages"][-1]["content"]
        format_ = body.get("response_format", {})
        if format_.get("type") == "json_schema":
            _check_schema(format_["json_schema"], "response_format.json_schema")
        for tool in body.get("tools", ()):
            if set(tool) != {"type", "function"}:
                raise RefusalError(
                    400, "missing_required_parameter", "Missing: 'tools[0].function'.", "tools"
                )
        message, finish = self._said(last, body.get("tools"), wants_json=bool(format_))
        usage = {
            "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
        }  # fmt: skip
        common = {"id": f"chatcmpl-{next(self._numbers)}", "created": 1764000000, "model": body["model"]}
        if body.get("stream"):
            with_usage = body.get("stream_options", {}).get("include_usage", False)
            events = _chunks(common, message, finish, usage if with_usage else None)
            return await self._sse(request, events, broken=last == "break", done=True)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return web.json_response(common | {"object": "chat.completion", "choices": [choice], "usage": usage})

    def _said(self, last, tools, *, wants_json):
        message = {"role": "assistant", "content": self.answer, "refusal": None, "annotations": []}
        if last == "refuse":
            return message | {"content": None, "refusal": "I'm sorry, I can't help with that."}, "stop"
        if last == "withhold":
            return message | {"content": ""}, "content_filter"
        if last == "tool" and tools:
            call = {"name": tools[0]["function"]["name"], "arguments": '{"place": "harbour"}'}
            uses = [{"id": "call_1", "type": "function", "function": call}]
            return message | {"content": None, "tool_calls": uses}, "tool_calls"
        text = json.dumps(self.json_answer) if wants_json else self.answer
        return message | {
            "content": text[:6] if last == "cut" else text
        }, "length" if last == "cut" else "stop"

    async def _sse(self, request, events, *, broken=False, done=False, named=False):
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await answer.prepare(request)
        frames = [(f"event: {e['type']}\n" if named else "") + f"data: {json.dumps(e)}\n\n" for e in events]
        frames = frames[: len(frames) // 2] if broken else [*frames, *(["data: [DONE]\n\n"] if done else [])]
        data = "".join(frames).encode()
        for at in range(0, len(data), 37):  # pieces that know nothing of lines or characters
            await answer.write(data[at : at + 37])
            await asyncio.sleep(0)
        if broken and request.transport:
            request.transport.close()
        return answer

    # ---------------------------------------------------------------- responses

    async def _respond(self, request):
        body = await self._json(request, RESPONSE_FIELDS)
        for tool in body.get("tools", ()):
            if tool.get("type") == "function" and "name" not in tool:
                raise RefusalError(
                    400, "missing_required_parameter", "Missing: 'tools[0].name'.", "tools[0].name"
                )
        format_ = body.get("text", {}).get("format", {"type": "text"})
        if format_["type"] == "json_schema":
            _check_schema(format_, "text.format")
        if body.get("background") and body.get("store") is False:
            raise RefusalError(400, None, "Background mode requires store to be true.", "background")
        response = self._response(body, format_)
        if body.get("store", True):
            self.responses[response["id"]] = [0, response]
        if body.get("background"):
            return web.json_response(_pending(response, "queued"))
        if body.get("stream"):
            last = _last(body)
            return await self._sse(request, _events(response), broken=last == "break", named=True)
        return web.json_response(response)

    def _response(self, body, format_):
        last, number = _last(body), next(self._numbers)
        tools = [{"function": tool} for tool in body.get("tools", ())]
        message, finish = self._said(last, tools, wants_json=format_["type"] == "json_schema")
        if uses := message.get("tool_calls"):
            call = uses[0]
            named = {"call_id": call["id"], **call["function"]}
            output = [{"type": "function_call", "id": f"fc_{number}", "status": "completed", **named}]
        else:
            part = {"type": "output_text", "text": message["content"], "annotations": [], "logprobs": []}
            if message["refusal"]:
                part = {"type": "refusal", "refusal": message["refusal"]}
            said = {"role": "assistant", "status": "completed", "content": [part]}
            output = [{"type": "reasoning", "id": f"rs_{number}", "summary": []}]
            output.append({"type": "message", "id": f"msg_{number}", **said})
        why = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
        return {
            "id": f"resp_{number:032x}", "object": "response", "created_at": 1764000000,
            "status": "incomplete" if why else "completed", "background": body.get("background", False),
            "completed_at": 1764000001, "error": None, "incomplete_details": {"reason": why} if why else None,
            "instructions": None, "max_output_tokens": body.get("max_output_tokens"), "metadata": {},
            "model": body["model"], "output": output, "parallel_tool_calls": True, "temperature": 1.0,
            "text": {"format": format_}, "tool_choice": "auto", "tools": body.get("tools", []), "top_p": 1.0,
            "truncation": "disabled", "service_tier": "default",
            "usage": {
                "input_tokens": 12, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
                "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 17,
            },
        }  # fmt: skip

    def _stored(self, request):
        found = self.responses.get(request.match_info["id"])
        if found is None:
            missing = request.match_info["id"]
            raise RefusalError(404, None, f"Response with id '{missing}' not found.", "id")
        return found

    async def _retrieve(self, request):
        found = self._stored(request)
        polls, response = found
        found[0] += 1
        goes_on = polls < self.polls_to_end and response["status"] != "cancelled"
        if goes_on and response["background"]:
            return web.json_response(_pending(response, "in_progress"))
        return web.json_response(response)

    async def _cancel(self, request):
        found = self._stored(request)
        if not found[1]["background"]:
            raise RefusalError(400, None, "Cannot cancel a synchronous response.")
        if found[0] <= self.polls_to_end:
            found[1] = _pending(found[1], "cancelled")
        return web.json_response(found[1])

    # ---------------------------------------------------------------- pictures

    async def _draw(self, request):
        body = await self._json(request, DRAW_FIELDS)
        return self._pictures(body)

    async def _edit(self, request):
        if request.content_type == "multipart/form-data":
            parts = _form(request.headers["Content-Type"], await request.read())
            fields = EDIT_FIELDS - {"images", "mask"}
            body = {name: data.decode() for name, data in parts if name in fields}
            images = [data for name, data in parts if name in ("image", "image[]")]
            masks = [data for name, data in parts if name == "mask"]
            if unknown := {name for name, _ in parts} - fields - {"image", "image[]", "mask"}:
                what = f"Unknown parameter: {sorted(unknown)}."
                raise RefusalError(400, "unknown_parameter", what, min(unknown))
            body["model"] = body.get("model", "gpt-image-1.5")
        else:
            body = await self._json(request, EDIT_FIELDS)
            images = [_picture(entry, f"images[{n}]") for n, entry in enumerate(body.get("images", ()))]
            masks = [_picture(body["mask"], "mask")] if "mask" in body else []
        if not 1 <= len(images) <= 16:
            raise RefusalError(400, None, "Between 1 and 16 images are required.", "images")
        if masks and _png_size(masks[0]) != _png_size(images[0]):
            raise RefusalError(400, "invalid_image", "The mask must have the size of the image.", "mask")
        return self._pictures(body)

    def _pictures(self, body):
        model, prompt = body["model"], body.get("prompt", "")
        if not 1 <= len(prompt) <= 32_000:
            raise RefusalError(400, "string_above_max_length", "Invalid 'prompt'.", "prompt")
        if "forbidden" in prompt or self.draws == "refused":
            raise MODERATED
        if self.draws == "failed":
            raise RefusalError(400, "invalid_value", "This size is not supported.", "size")
        if prompt == "quota":
            raise QUOTA
        size, kind = body.get("size", "auto"), body.get("output_format", "png")
        width, height = _size(model, size)
        if body.get("background") == "transparent" and kind == "jpeg":
            raise RefusalError(400, None, "Transparent background is not supported for JPEG.", "background")
        picture = base64.b64encode(png(width, height)).decode()
        pictures = [] if self.draws == "unusable" else [{"b64_json": picture}]
        tokens = {"input_tokens": 14, "output_tokens": 272, "total_tokens": 286}
        details = {"input_tokens_details": {"text_tokens": 14, "image_tokens": 0}}
        details["output_tokens_details"] = {"text_tokens": 0, "image_tokens": 272}
        return web.json_response(
            {
                "created": 1764000000, "background": body.get("background", "opaque"), "output_format": kind,
                "quality": body.get("quality", "medium"), "size": f"{width}x{height}",
                "data": pictures, "usage": tokens | details,
            }
        )  # fmt: skip

    # ---------------------------------------------------------------- voices

    async def _speak(self, request):
        body = await self._json(request, SPEECH_FIELDS)
        if not 1 <= len(body["input"]) <= 4096:
            raise RefusalError(400, "string_above_max_length", "Invalid 'input'.", "input")
        voice = body["voice"]
        if isinstance(voice, str) and voice not in VOICES:
            raise RefusalError(400, "invalid_value", f"Invalid value: '{voice}'.", "voice")
        if not 0.25 <= body.get("speed", 1) <= 4:
            raise RefusalError(400, "invalid_value", "Invalid 'speed'.", "speed")
        if body["model"].startswith("tts-1") and ({"instructions", "stream_format"} & set(body)):
            raise RefusalError(400, "unsupported_parameter", "Not supported with this model.")
        kind = body.get("response_format", "mp3")
        answer = web.StreamResponse(headers={"Content-Type": CONTENT_TYPES[kind]})
        answer.headers["x-request-id"] = f"req_{next(self._numbers)}"
        await answer.prepare(request)
        data = wav(0.5) if kind == "wav" else b"\xff\xfb\x90\x00" * 200
        for at in range(0, len(data), 4096):
            await answer.write(data[at : at + 4096])
        return answer

    # ---------------------------------------------------------------- videos

    async def _film(self, request):
        parts = dict(_form(request.headers["Content-Type"], await request.read()))
        told = {name: value.decode() for name, value in parts.items() if name != "input_reference"}
        for name in parts:
            if name not in VIDEO_FIELDS:
                raise RefusalError(400, "unknown_parameter", f"Unknown parameter: '{name}'.", name)
        if not told.get("prompt"):
            raise RefusalError(400, "missing_required_parameter", "Missing: 'prompt'.", "prompt")
        if "forbidden" in told["prompt"]:
            raise MODERATED
        if self.video_seconds and (
            told["seconds"] not in self.video_seconds or told["size"] not in VIDEO_SIZES
        ):
            raise RefusalError(400, "invalid_value", "Invalid value: 'seconds' or 'size'.", "seconds")
        still = parts.get("input_reference", b"\x89PNG")
        if not still.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF")):
            raise RefusalError(400, "invalid_image_format", "Unsupported image.", "input_reference")
        video_id = f"video_{next(self._numbers)}"
        self.videos[video_id] = {
            "id": video_id, "object": "video", "model": told["model"], "status": "queued", "progress": 0,
            "created_at": 1764000000, "size": told["size"], "seconds": told["seconds"], "error": None,
            "completed_at": None, "expires_at": None, "prompt": told["prompt"], "remixed_from_video_id": None,
        }  # fmt: skip
        if self.films_at_once:
            self.end_video(video_id, "succeeded")
        return web.json_response(self.videos[video_id])

    def end_video(self, video_id, how):
        """End a video: succeeded, failed, refused, unusable (done, and nothing to fetch)."""
        failed = {"code": "server_error", "message": "The model broke down."}
        blocked = {
            "code": "moderation_blocked",
            "message": "Your request was blocked by our moderation system.",
        }
        self.videos[video_id] |= {
            "succeeded": {
                "status": "completed",
                "progress": 100,
                "completed_at": 1764000060,
                "expires_at": 1764086460,
            },
            "failed": {"status": "failed", "error": failed},
            "refused": {"status": "failed", "error": blocked},
            "unusable": {"status": "completed", "progress": 100, "gone": True},
        }[how]

    def _known_video(self, request):
        found = self.videos.get(request.match_info["id"])
        if found is None:
            raise RefusalError(404, "not_found", "Video not found.", "video_id")
        return found

    async def _video(self, request):
        found = self._known_video(request)
        if self.as_it_is:
            return web.json_response(found)
        polls = len(self.asked("GET", f"/v1/videos/{found['id']}$"))
        if found["status"] in ("queued", "in_progress"):
            if polls > self.polls_to_end:
                self.end_video(found["id"], "succeeded")
            else:
                found |= {"status": "in_progress", "progress": 33}
        return web.json_response({name: value for name, value in found.items() if name != "gone"})

    async def _video_content(self, request):
        found = self._known_video(request)
        if found["status"] != "completed" or found.get("gone"):
            raise RefusalError(404, "not_found", "Video content is not available.", "video_id")
        return web.Response(body=MP4, content_type="video/mp4")

    # ---------------------------------------------------------------- moderations

    async def _moderate(self, request):
        """Object to violence where a text, or the bytes of a picture, say "forbidden"."""
        body = await self._json(request, MODERATION_FIELDS)
        given = body["input"]
        if not isinstance(given, list):
            given = [{"type": "text", "text": given}]
        elif all(isinstance(one, str) for one in given):
            given = [{"type": "text", "text": one} for one in given]
        if not given or sum(part.get("type") == "image_url" for part in given) > 1:
            raise RefusalError(400, "invalid_request", "One image at most.", "input")
        refused, kinds = set(), set()
        for part in given:
            kind, said = _moderated(part)
            kinds.add(kind)
            if b"forbidden" in said:
                refused.add(kind)
        names = {name: bool(refused) and name in ("violence", "violence/graphic") for name in CATEGORIES}
        applied = {
            name: [kind for kind in ("text", "image") if kind in kinds and kind[0] in by]
            for name, by in CATEGORIES.items()
        }
        result = {
            "flagged": any(names.values()), "categories": names, "category_applied_input_types": applied,
            "category_scores": {name: 0.93 if found else 0.0002 for name, found in names.items()},
        }  # fmt: skip
        return web.json_response(
            {"id": f"modr-{next(self._numbers)}", "model": body["model"], "results": [result]}
        )


def _moderated(part):
    if part.get("type") == "text" and set(part) == {"type", "text"} and part["text"]:
        return "text", part["text"].encode()
    if part.get("type") == "image_url" and set(part) == {"type", "image_url"}:
        found = re.fullmatch(r"data:image/(png|jpeg|webp|gif);base64,(.+)", part["image_url"]["url"])
        if found and len(part["image_url"]["url"]) <= 20_971_520:
            return "image", base64.b64decode(found[2])
    raise RefusalError(400, "invalid_value", "Invalid value: 'input'.", "input")


def _check_schema(named, param):
    if not NAME.fullmatch(named.get("name", "")):
        raise RefusalError(400, "invalid_value", f"Invalid '{param}.name'.", f"{param}.name")
    if named.get("strict"):
        _check_strict(named["schema"], param)


def _check_strict(schema, param):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            required = set(schema.get("required", ())) == set(schema.get("properties", {}))
            if schema.get("additionalProperties") is not False or not required:
                what = f"Invalid schema for {param}: 'additionalProperties' is required to be false."
                raise RefusalError(400, "invalid_json_schema", what, param)
        for value in schema.values():
            _check_strict(value, param)


def _chunks(common, message, finish, usage):
    common = common | {"object": "chat.completion.chunk", "system_fingerprint": None}

    def chunk(delta, reason=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return common | {"choices": [choice], "usage": None, "obfuscation": "aB3"}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for word in re.findall(r"\S+\s*|\s+", message["content"] or ""):
        yield chunk({"content": word})
    if message["refusal"]:
        yield chunk({"refusal": message["refusal"]})
    for index, use in enumerate(message.get("tool_calls", ())):
        start = {"name": use["function"]["name"], "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, **use, "function": start}]})
        text = use["function"]["arguments"]
        for part in (text[:5], text[5:]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, finish)
    if usage:
        yield common | {"choices": [], "usage": usage, "obfuscation": ""}


def _events(response):
    numbers = itertools.count()

    def event(kind, **more):
        return {"type": kind, "sequence_number": next(numbers), **more}

    yield event("response.created", response=_pending(response, "in_progress"))
    yield event("response.in_progress", response=_pending(response, "in_progress"))
    for index, item in enumerate(response["output"]):
        where = {"item_id": item["id"], "output_index": index}
        yield event("response.output_item.added", output_index=index, item=item | {"content": []})
        for part in item.get("content", ()):
            at = where | {"content_index": 0}
            yield event("response.content_part.added", **at, part=part | {"text": ""})
            name = "refusal" if part["type"] == "refusal" else "output_text"
            text = part.get("refusal") or part.get("text") or ""
            more = {} if name == "refusal" else {"logprobs": []}
            for word in re.findall(r"\S+\s*|\s+", text):
                yield event(f"response.{name}.delta", **at, delta=word, **more)
            whole = {"refusal": text} if name == "refusal" else {"text": text}
            yield event(f"response.{name}.done", **at, **whole, **more)
            yield event("response.content_part.done", **at, part=part)
        if item["type"] == "function_call":
            yield event("response.function_call_arguments.delta", **where, delta=item["arguments"])
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield event("response.function_call_arguments.done", **where, **done)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{response['status']}", response=response)


def _pending(response, status):
    return response | {"status": status, "output": [], "usage": None, "completed_at": None}


def _last(body):
    said = body["input"]
    if isinstance(said, str):
        return said
    return said[-1].get("content") or ""


def _form(content_type, data):
    """Return (name, bytes) of each part of a form."""
    message = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + data)
    parts = message.get_payload()
    return [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        for part in parts
    ]


def _picture(entry, param):
    found = re.fullmatch(r"data:image/(png|jpeg|webp);base64,(.+)", entry.get("image_url", ""))
    if set(entry) != {"image_url"} or not found or len(entry["image_url"]) > 20_971_520:
        raise RefusalError(400, "invalid_image_url", "Invalid image.", param)
    return base64.b64decode(found[2])


def _png_size(data):
    return struct.unpack(">II", data[16:24])


def _size(model, size):
    if size == "auto":
        return 1024, 1024
    width, height = map(int, size.split("x"))
    fixed = size in ("1024x1024", "1536x1024", "1024x1536")
    free = width % 16 == height % 16 == 0 and 1 / 3 <= width / height <= 3 and width * height <= PIXEL_LIMIT
    if not (fixed or (free and model.startswith("gpt-image-2"))):
        raise RefusalError(400, "invalid_value", f"Invalid value: '{size}'.", "size")
    return width, height


def png(width, height):
    """Return a plain picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\x00" + b"\x50" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def wav(seconds):
    """Return silence at 24 kHz as it is streamed: with lengths that nobody knows yet."""
    head = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 24_000, 48_000, 2, 16)
    return head + b"data\xff\xff\xff\xff" + b"\x00" * int(48_000 * seconds)
