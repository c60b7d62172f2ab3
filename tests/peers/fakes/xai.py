"""xAI that is none: chats, pictures, and videos that are jobs.

Source: docs.x.ai (fields, statuses), the wire of the AI SDK's xAI provider (both error shapes, 202 with an empty
body, failures as HTTP 200), xai_sdk (1 tick is 1e-10 USD).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import deque

from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY = "xai-fake-0123456789abcdef"
CHAT_FIELDS = {
    "messages", "model", "response_format", "stream", "stream_options", "tools", "tool_choice",
    "max_completion_tokens", "max_tokens", "temperature", "top_p", "seed", "n", "stop", "reasoning_effort",
    "parallel_tool_calls", "user",
}  # fmt: skip
DRAW_FIELDS = {
    "model", "prompt", "n", "response_format", "aspect_ratio", "resolution", "quality", "output_format", "user",
}  # fmt: skip
EDIT_FIELDS = DRAW_FIELDS | {"image", "images"}
VIDEO_FIELDS = {
    "model", "prompt", "duration", "aspect_ratio", "resolution", "image", "reference_images",
    "reference_audios", "user", "output",
}  # fmt: skip
EXTENSION_FIELDS = {"model", "prompt", "duration", "video", "user", "output"}
RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3")
TICKS = {"chat": 123_456, "image": 200_000_000, "video": 4_000_000_001}
DATA_URI = re.compile(r"data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/]+=*")
CLIP_URI = re.compile(r"data:video/mp4;base64,[A-Za-z0-9+/]+=*")


class RefusalError(Exception):
    """An error answer, in one of the two shapes."""

    def __init__(self, status, code, message, *, nested=False):
        super().__init__(message)
        self.status = status
        flat = {"code": code, "error": message}
        self.body = (
            {"error": {"message": message, "type": None, "param": None, "code": code}} if nested else flat
        )


BAD = "Client specified an invalid argument"
WRONG_KEY = RefusalError(
    400, BAD, "Incorrect API key provided: xa***ef. You can obtain one from https://console.x.ai."
)
MODERATED = RefusalError(400, BAD, "Generated image rejected by content moderation.")


class FakeXai(FakeVendor):
    """`draws` says how the next pictures end, `end` how a video does; `refusals` are what the next calls get."""

    def __init__(self):
        super().__init__()
        self.answer = "Rain on the harbour."
        self.json_answer = {"mood": "calm"}
        self.draws = "succeeded"
        self.refusals = deque()
        self.videos = {}
        self.empty_while_pending = True
        self.polls_to_end = None
        self._numbers = itertools.count(1)

    def routes(self):
        return [
            web.post("/v1/chat/completions", self._guarded(self._chat)),
            web.post("/v1/images/generations", self._guarded(self._draw)),
            web.post("/v1/images/edits", self._guarded(self._edit)),
            web.post("/v1/videos/generations", self._guarded(self._animate)),
            web.post("/v1/videos/extensions", self._guarded(self._extend)),
            web.get("/v1/videos/{id}", self._guarded(self._video)),
        ]

    def error_body(self, status):
        return {"code": f"status {status}", "error": "Something is wrong."}

    def end(self, request_id, how):
        """End a video: succeeded, failed, refused, unusable, expired, moderated."""
        clip = {"url": f"https://vidgen.x.ai/{request_id}.mp4", "duration": 6, "respect_moderation": True}
        blocked = {"duration": 6, "respect_moderation": False}
        failed = {"code": "internal_error", "message": "The model broke down."}
        moderated = {"code": "invalid_argument", "message": "The prompt was rejected by content moderation."}
        common = {"model": "grok-imagine-video", "usage": {"cost_in_usd_ticks": TICKS["video"]}}
        self.videos[request_id] = {
            "succeeded": common | {"status": "done", "video": clip, "progress": 100},
            "refused": common | {"status": "done", "video": blocked, "progress": 100},
            "unusable": common | {"status": "done", "video": None},
            "failed": {"status": "failed", "error": failed},
            "moderated": {"status": "failed", "error": moderated},
            "expired": {"status": "expired"},
        }[how]

    def _guarded(self, handler):
        async def answer(request):
            try:
                given = request.headers.get("Authorization", "")
                if not given:
                    raise RefusalError(401, "Unauthenticated", "No credentials were given.")
                if given != f"Bearer {KEY}":
                    raise WRONG_KEY
                if self.refusals:
                    raise self.refusals.popleft()
                return await handler(request)
            except RefusalError as refusal:
                return web.json_response(refusal.body, status=refusal.status)

        return answer

    async def _json(self, request, fields):
        body = await request.read()
        if not body or request.content_type != "application/json":
            raise RefusalError(415, "Unsupported media type", "Expected a JSON body.")
        found = json.loads(body)
        for name in found:
            if name not in fields:
                raise RefusalError(422, "Unprocessable", f"Unknown field: {name}.", nested=True)
        if found.get("model", "").startswith("gone"):
            raise RefusalError(404, "Not found", f"The model {found['model']} does not exist.")
        if found.get("aspect_ratio", "1:1") not in RATIOS:
            raise RefusalError(422, BAD, "Invalid aspect_ratio.")
        return found

    # ---------------------------------------------------------------- chat

    async def _chat(self, request):
        body = await self._json(request, CHAT_FIELDS)
        message, finish = self._said(body)
        usage = {
            "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 19, "num_sources_used": 0,
            "prompt_tokens_details": {"text_tokens": 12, "cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2}, "cost_in_usd_ticks": TICKS["chat"],
        }  # fmt: skip
        common = {"id": f"chat-{next(self._numbers)}", "created": 1764000000, "model": body["model"]}
        if body.get("stream"):
            return await self._stream(request, _chunks(common, message, finish, usage))
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response(common | {"object": "chat.completion", "choices": [choice], "usage": usage})

    def _said(self, body):
        message = {"role": "assistant", "content": self.answer, "refusal": None}
        if body["messages"][-1]["content"] == "tool" and body.get("tools"):
            name = body["tools"][0]["function"]["name"]
            use = {
                "id": "call_1",
                "type": "function",
                "function": {"name": name, "arguments": '{"place":"x"}'},
            }
            return message | {"content": "", "tool_calls": [use]}, "tool_calls"
        if body.get("response_format", {}).get("type") == "json_schema":
            message["content"] = json.dumps(self.json_answer)
        return message, "stop"

    async def _stream(self, request, events):
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for event in events:
            await answer.write(f"data: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(0)
        await answer.write(b"data: [DONE]\n\n")
        return answer

    # ---------------------------------------------------------------- pictures

    async def _draw(self, request):
        return self._pictures(await self._json(request, DRAW_FIELDS))

    async def _edit(self, request):
        body = await self._json(request, EDIT_FIELDS)
        images = body["images"] if "images" in body else [body.get("image")]
        if ("image" in body) == ("images" in body):
            raise RefusalError(400, BAD, "Give image or images.")
        for image in images:
            if image.get("type") != "image_url" or not DATA_URI.fullmatch(image.get("url", "")):
                raise RefusalError(422, BAD, "Invalid image.")
        return self._pictures(body)

    def _pictures(self, body):
        if self.draws == "failed":
            raise RefusalError(422, BAD, "Invalid prompt format.")
        if self.draws == "moderated":
            raise MODERATED
        number = next(self._numbers)
        url = f"https://imgen.x.ai/{number}.jpeg"
        picture = {"url": url, "mime_type": "image/jpeg", "revised_prompt": "", "respect_moderation": True}
        if body.get("response_format") == "b64_json":
            picture = {"b64_json": "/9j/4AAQ", "mime_type": "image/jpeg", "respect_moderation": True}
        if self.draws == "refused":
            picture = {"url": "", "respect_moderation": False}
        data = [] if self.draws == "unusable" else [picture]
        return web.json_response({"data": data, "usage": {"cost_in_usd_ticks": TICKS["image"]}})

    # ---------------------------------------------------------------- videos

    async def _animate(self, request):
        body = await self._json(request, VIDEO_FIELDS)
        if not 1 <= body.get("duration", 8) <= 15 or not isinstance(body.get("duration", 8), int):
            raise RefusalError(422, BAD, "duration must be from 1 to 15.")
        if body.get("resolution") == "1080p" and "1.5" not in body["model"]:
            raise RefusalError(400, BAD, "1080p is not supported by this model.")
        pictures = [*([body["image"]] if "image" in body else []), *body.get("reference_images", ())]
        if not all(DATA_URI.fullmatch(picture.get("url", "")) for picture in pictures):
            raise RefusalError(422, BAD, "Invalid image.")
        if "reference_images" in body and ("image" in body or body.get("resolution") == "1080p"):
            raise RefusalError(400, BAD, "reference_images cannot be combined with image or 1080p.")
        return self._started()

    async def _extend(self, request):
        body = await self._json(request, EXTENSION_FIELDS)
        if not 2 <= body.get("duration", 6) <= 10 or not isinstance(body.get("duration", 6), int):
            raise RefusalError(422, BAD, "duration must be from 2 to 10.")
        if not body.get("prompt") or not CLIP_URI.fullmatch(body.get("video", {}).get("url", "")):
            raise RefusalError(422, BAD, "A prompt and an MP4 are needed.")
        return self._started()

    def _started(self):
        request_id = f"{next(self._numbers):08d}-1111-2222-3333-444444444444"
        self.videos[request_id] = None
        return web.json_response({"request_id": request_id})

    async def _video(self, request):
        request_id = request.match_info["id"]
        if request_id not in self.videos:
            raise RefusalError(404, "Not found", "The requested resource was not found.")
        polls = len(self.asked("GET", f"/v1/videos/{request_id}$"))
        if self.polls_to_end is not None and polls > self.polls_to_end:
            self.end(request_id, "succeeded")
        found = self.videos[request_id]
        if found is None and self.empty_while_pending:
            return web.Response(status=202)
        if found is None:
            return web.json_response({"status": "pending", "progress": 40}, status=202)
        return web.json_response(found)


def _chunks(common, message, finish, usage):
    common = common | {"object": "chat.completion.chunk"}

    def chunk(delta, reason=None):
        return common | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield chunk({"role": "assistant", "content": ""})
    for word in re.findall(r"\S+\s*", message["content"]):
        yield chunk({"content": word})
    for index, use in enumerate(message.get("tool_calls", ())):
        yield chunk({"tool_calls": [{"index": index, **use}]})
    yield chunk({}, finish)
    yield common | {"choices": [], "usage": usage}
