"""Vidu as far as Studio uses it: create from a picture or a text, get, cancel, and callbacks that sign no body.

It is stricter than the vendor: a field that the API does not have, or a length that a model does not make, is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from email.utils import formatdate

from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY = "vda_fake_vidu_key_0123456789"
COMMON = {
    "model", "prompt", "duration", "seed", "aspect_ratio", "resolution", "movement_amplitude", "bgm", "audio",
    "payload", "off_peak", "watermark", "wm_position", "wm_url", "callback_url",
}  # fmt: skip
FIELDS = {
    "img2video": COMMON | {"images", "is_rec", "voice_id"},
    "text2video": COMMON | {"style"},
    "start-end2video": (COMMON - {"aspect_ratio"}) | {"images", "is_rec"},
    "reference2video": COMMON | {"images", "subjects"},
}
IMAGES = {"img2video": range(1, 2), "start-end2video": range(2, 3), "reference2video": range(1, 8)}
SECONDS = {"viduq3": range(1, 17), "viduq2": range(1, 11), "viduq1": (5,), "vidu2.0": (4, 8)}
LINES = {
    "viduq3": ("540p", "720p", "1080p"), "viduq2": ("540p", "720p", "1080p"), "viduq1": ("1080p",),
    "vidu2.0": ("360p", "720p", "1080p"),
}  # fmt: skip
PICTURES = tuple(f"data:image/{kind};base64," for kind in ("png", "jpeg", "jpg", "webp"))
VIDEO = "https://prod-ss-vidu.s3.cn-northwest-1.amazonaws.com.cn/infer/tasks/fake/creation-01/video.mp4?X-Amz-Expires=86400"
HTTP = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 413: "BadRequest",
    422: "FieldInvalid", 429: "TooManyRequests", 499: "Canceled", 500: "InternalServiceFailure",
}  # fmt: skip


class Fake(FakeVendor):
    """Tasks that end after `polls` questions with `state` and `err_code`; each costs `credits`."""

    def __init__(self, polls=1):
        super().__init__()
        self.polls, self.key = polls, KEY
        self.state, self.err_code = "success", ""
        self.credits = 40
        self.creations = [{"id": "c-1", "url": VIDEO, "cover_url": VIDEO.replace(".mp4", ".jpg")}]
        self.refuse = None
        """A (status, reason) that the next create call is answered with."""
        self.tasks = {}
        self.left = {}

    def routes(self):
        return [
            web.post("/ent/v2/tasks/{id}/cancel", self.cancel),
            web.get("/ent/v2/tasks/{id}/creations", self.get),
            web.post("/ent/v2/{mode:img2video|text2video|start-end2video|reference2video}", self.create),
        ]

    def error_body(self, status):
        return problem(status, HTTP.get(status, "BadRequest"), f"status {status}")

    async def create(self, request):
        if refused := self._unauthorized(request):
            return refused
        if self.refuse:
            status, reason = self.refuse
            return told(status, reason)
        mode, body = request.match_info["mode"], await request.json()
        if wrong := wrong_of(mode, body):
            return told(400, *wrong)
        return web.json_response(self.start(body))

    def start(self, body):
        """Make a task as if somebody had asked for it; returns the answer, which repeats the request."""
        task_id = str(uuid.uuid4().int)[:16]
        self.tasks[task_id], self.left[task_id] = {"state": "created", **body}, self.polls
        echo = {name: value for name, value in body.items() if name != "callback_url"}
        return {
            "task_id": task_id, "state": "created", "seed": 7, "movement_amplitude": "auto", "off_peak": False, **echo,
            "credits": self.credits, "created_at": "2026-01-15T09:54:55.566Z",
        }  # fmt: skip

    async def get(self, request):
        if refused := self._unauthorized(request):
            return refused
        task_id = request.match_info["id"]
        if task_id not in self.tasks:
            return told(404, "TaskNotFound")
        task = self.tasks[task_id]
        self.left[task_id] -= 1
        if task["state"] not in ("success", "failed"):
            task["state"] = self.state if self.left[task_id] <= 0 else "processing"
        return web.json_response(self.shown(task_id))

    def shown(self, task_id):
        """Return a task as it is asked for, and as a callback carries it."""
        task = self.tasks[task_id]
        err_code = task.get("err_code", self.err_code) if task["state"] == "failed" else ""
        return {
            "id": task_id, "state": task["state"], "err_code": err_code, "credits": self.credits,
            "payload": task.get("payload", ""), "bgm": False, "off_peak": False,
            "creations": self.creations if task["state"] == "success" else [],
        }  # fmt: skip

    async def cancel(self, request):
        if refused := self._unauthorized(request):
            return refused
        task_id = request.match_info["id"]
        if task_id not in self.tasks:
            return told(404, "TaskNotFound")
        if await request.json() != {"id": task_id}:
            return told(400, "FieldLacking", "id")
        task = self.tasks[task_id]
        if task["state"] not in ("created", "queueing"):
            return told(400, "BadRequest", f"task state is {task['state']}, can not cancel")
        task |= {"state": "failed", "err_code": "UserCancelled"}
        return web.json_response({})

    def webhook(
        self,
        body,
        path="/api/webhooks/vidu",
        query="",
        nonce=None,
        at=None,
        key=None,
        names=("Date", "x-request-nonce"),
    ):
        """Return (headers, body) of a signed callback; nothing of the body is signed."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        date = formatdate(time.time() if at is None else at, usegmt=True)
        heads = {"Date": date, "x-request-nonce": nonce or str(uuid.uuid4())}
        signed = "".join(f"{name}:{heads[name]}\n" for name in names)
        text = f"POST\n{path or '/'}\n{query}\nvidu\n{date}\n{signed}"
        mac = hmac.new((key or self.key).encode(), text.encode(), hashlib.sha256).digest()
        return heads | {
            "X-HMAC-SIGNED-HEADERS": ";".join(names), "X-HMAC-SIGNATURE": base64.b64encode(mac).decode(),
            "X-HMAC-ALGORITHM": "hmac-sha256", "X-HMAC-ACCESS-KEY": "vidu", "Content-Type": "application/json",
        }, raw  # fmt: skip

    def _unauthorized(self, request):
        return None if request.headers.get("Authorization") == f"Token {KEY}" else told(401, "Unauthorized")


def wrong_of(mode, body):
    """Return (reason, message) of what is wrong with a create call; None when it is good."""
    if not isinstance(body, dict):
        return "BadRequest", "no object"
    family = next((name for name in SECONDS if str(body.get("model", "")).startswith(name)), None)
    images = body.get("images", [])
    wrong = [
        ("FieldUnwanted", sorted(set(body) - FIELDS[mode])),
        ("FieldInvalid", [] if family else ["model"]),
        ("FieldInvalid", [] if family and body.get("duration", 5) in SECONDS[family] else ["duration"]),
        (
            "FieldInvalid",
            [] if family and body.get("resolution", "720p") in LINES[family] else ["resolution"],
        ),
        ("FieldItemCountOutOfRange", ["images"] if len(images) not in IMAGES.get(mode, range(1)) else []),
        (
            "ImageFormatInvalid",
            [image[:30] for image in images if not image.startswith(("https://", *PICTURES))],
        ),
        (
            "FieldLacking",
            ["prompt"] if mode in ("text2video", "reference2video") and not body.get("prompt") else [],
        ),
        ("FieldInvalid", ["prompt"] if len(body.get("prompt", "")) > 5000 else []),
    ]
    return next(((reason, ", ".join(what)) for reason, what in wrong if what), None)


def problem(status, reason, message=""):
    return {
        "code": status,
        "reason": reason,
        "message": message or reason,
        "metadata": {"trace_id": "0123456789abcdef"},
    }


def told(status, reason, message=""):
    return web.json_response(problem(status, reason, message), status=status)
