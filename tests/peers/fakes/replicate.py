"""Replicate as far as Studio uses it: predictions, files, the webhook secret, and signed webhooks.

It is stricter than the vendor: an unknown field of a create call, a header that does not parse or an input that is no
object is refused.
"""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import json
import re
import secrets
import string
import time
from datetime import UTC, datetime

from aiohttp import web

from studio.testing.vendor import FakeVendor

TOKEN = "r8_fake_replicate_token_0123456789"
SECRET = "whsec_" + base64.b64encode(b"replicate-fake-secret-0123456789").decode()
CREATE = {"input", "version", "webhook", "webhook_events_filter", "stream"}
EVENTS = {"start", "output", "logs", "completed"}
TERMINAL = {"succeeded", "failed", "canceled"}
VERSION = re.compile(r"([\w.-]+/[\w.-]+:)?[0-9a-f]{64}|[\w.-]+/[\w.-]+")
OUTPUT = "https://replicate.delivery/xezq/fake/out-0.png"


def now():
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id():
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(26))


class Fake(FakeVendor):
    """Predictions that end after `polls` questions, as `ending` says; `output` is what they make."""

    def __init__(self, polls=1):
        super().__init__()
        self.polls = polls
        self.ending = "succeeded"
        self.output = [OUTPUT]
        self.error = "Prediction failed for an unknown reason."
        self.predict_time = 1.25
        self.secret = SECRET
        self.predictions = {}
        self.files = {}
        self.left = {}

    def routes(self):
        return [
            web.post("/v1/predictions", self.create),
            web.post("/v1/models/{owner}/{name}/predictions", self.create),
            web.post("/v1/deployments/{owner}/{name}/predictions", self.create),
            web.get("/v1/predictions/{id}", self.get),
            web.post("/v1/predictions/{id}/cancel", self.cancel),
            web.get("/v1/webhooks/default/secret", self.webhook_secret),
            web.post("/v1/files", self.upload),
            web.get("/v1/files/{id}", self.file),
        ]

    def error_body(self, status):
        details = {
            429: "Request was throttled. Your rate limit resets in ~30s.",
            422: "input.prompt: is required",
        }
        if status == 429:
            return {"detail": details[429]}
        return problem(status, details.get(status, "Something went wrong."))

    # ------------------------------------------------------------ predictions

    async def create(self, request):
        if refused := self._unauthorized(request):
            return refused
        body = await request.json()
        official = "owner" in request.match_info
        if wrong := self._wrong(body, request, official=official):
            return told(422, wrong)
        made = self.start(body, request.match_info)
        seconds = int((re.fullmatch(r"wait(?:=(\d+))?", request.headers.get("Prefer", "")) or [0, 0])[1] or 0)
        if seconds:
            self._finish(made)
        return web.json_response(made, status=201)

    def start(self, body, place=None):
        """Make a prediction as if somebody had asked for it."""
        place, made_id = dict(place or {}), new_id()
        version = body.get("version", "hidden")
        model = f"{place['owner']}/{place['name']}" if place else version.partition(":")[0]
        url = f"{self.url}/v1/predictions/{made_id}"
        made = {
            "id": made_id,
            "model": model,
            "version": version.rpartition(":")[2],
            "input": body["input"],
            "logs": "",
            "output": None,
            "data_removed": False,
            "error": None,
            "source": "api",
            "status": "starting",
            "created_at": now(),
            "urls": {"cancel": f"{url}/cancel", "get": url, "web": f"https://replicate.com/p/{made_id}"},
        }
        self.predictions[made_id], self.left[made_id] = made, self.polls
        return made

    async def get(self, request):
        if refused := self._unauthorized(request):
            return refused
        made = self.predictions.get(request.match_info["id"])
        if made is None:
            return told(404, "The requested resource could not be found.")
        self._advance(made)
        return web.json_response(made)

    async def cancel(self, request):
        if refused := self._unauthorized(request):
            return refused
        made = self.predictions.get(request.match_info["id"])
        if made is None:
            return told(404, "The requested resource could not be found.")
        if made["status"] not in TERMINAL:
            made |= {"status": "canceled", "completed_at": now()}
        return web.json_response(made)

    def _advance(self, made):
        if made["status"] in TERMINAL:
            return
        self.left[made["id"]] -= 1
        if self.left[made["id"]] > 0:
            made |= {"status": "processing", "started_at": made.get("started_at") or now()}
        else:
            self._finish(made)

    def _finish(self, made):
        made |= {"status": self.ending, "started_at": made.get("started_at") or now(), "completed_at": now()}
        made["metrics"] = {"predict_time": self.predict_time, "total_time": self.predict_time + 0.5}
        if self.ending == "succeeded":
            made["output"] = self.output
        elif self.ending == "failed":
            made["error"] = self.error

    def finish(self, made_id):
        """End a prediction now and return it, as its webhook carries it."""
        self._finish(self.predictions[made_id])
        return self.predictions[made_id]

    def remove_data(self, made_id):
        """An hour has passed."""
        self.predictions[made_id] |= {"input": {}, "output": None, "logs": None, "data_removed": True}

    # ------------------------------------------------------------ files and webhooks

    async def upload(self, request):
        if refused := self._unauthorized(request):
            return refused
        part = multipart(request.headers["Content-Type"], await request.read()).get("content")
        if part is None:
            return told(422, "content: is required")
        data, file_id = part.get_payload(decode=True), new_id()
        self.files[file_id] = data
        made = {
            "id": file_id,
            "name": part.get_filename(),
            "content_type": part.get_content_type(),
            "size": len(data),
            "etag": file_id,
            "checksums": {"sha256": hashlib.sha256(data).hexdigest()},
            "metadata": {},
            "created_at": now(),
            "expires_at": now(),
            "urls": {"get": f"{self.url}/v1/files/{file_id}"},
        }
        return web.json_response(made, status=201)

    async def file(self, request):
        known = request.match_info["id"] in self.files
        return web.json_response({"id": request.match_info["id"]}) if known else told(404, "No such file.")

    async def webhook_secret(self, request):
        return self._unauthorized(request) or web.json_response({"key": self.secret})

    def webhook(self, body, delivery_id=None, at=None, secret=None):
        """Return (headers, body) of a signed call; `body` is a prediction or raw bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        delivery_id, stamp = delivery_id or f"msg_{new_id()}", str(int(time.time() if at is None else at))
        key = base64.b64decode((secret or self.secret).removeprefix("whsec_"))
        mac = hmac.new(key, f"{delivery_id}.{stamp}.".encode() + raw, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(mac).decode()}"
        headers = {"webhook-id": delivery_id, "webhook-timestamp": stamp, "webhook-signature": signature}
        return headers | {"content-type": "application/json"}, raw

    # ------------------------------------------------------------ checks

    def _unauthorized(self, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return told(401, "You did not pass a valid authentication token", "Unauthenticated")
        return None

    def _wrong(self, body, request, *, official):
        if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
            return "input: is required"
        unknown = sorted(set(body) - CREATE)
        prefer, after = request.headers.get("Prefer", ""), request.headers.get("Cancel-After", "5s")
        good = {
            f"{', '.join(unknown)}: unknown": not unknown,
            "version: is required, or is not wanted here": official != ("version" in body),
            "version: does not exist": VERSION.fullmatch(body.get("version", "a/b")),
            "webhook: must be an HTTPS URL": body.get("webhook", "https://").startswith("https://"),
            "webhook_events_filter: unknown event": set(body.get("webhook_events_filter", ())) <= EVENTS,
            "Prefer: must be wait or wait=1 to 60": re.fullmatch(r"(wait(=([1-9]|[1-5]\d|60))?)?", prefer),
            "Cancel-After: is no duration": re.fullmatch(r"(\d+h)?(\d+m)?(\d+s?)?", after),
        }
        return next((what for what, holds in good.items() if not holds), None)


def multipart(content_type, body):
    """Return the parts of a multipart body by name."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    return {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}


def problem(status, detail, title=None):
    return {"title": title or f"Error {status}", "detail": detail, "status": status}


def told(status, detail, title=None):
    body = json.dumps(problem(status, detail, title)).encode()
    return web.Response(body=body, status=status, content_type="application/problem+json")
