"""Resend that is none: keys that are remembered, errors by name, webhooks that are signed.

Source: Resend API reference (emails, errors, idempotency keys, webhooks) and its OpenAPI description.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections import deque

from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY = "re_fake_0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(b"a webhook secret of 32 bytes, ok").decode()
STATUS = {
    "validation_error": 400,
    "invalid_idempotency_key": 400,
    "missing_api_key": 401,
    "restricted_api_key": 401,
    "invalid_api_key": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "invalid_idempotent_request": 409,
    "concurrent_idempotent_requests": 409,
    "invalid_attachment": 422,
    "missing_required_field": 422,
    "rate_limit_exceeded": 429,
    "daily_quota_exceeded": 429,
    "monthly_quota_exceeded": 429,
    "application_error": 500,
}
MESSAGE = {
    "rate_limit_exceeded": "Too many requests. You can only make 2 requests per second.",
    "daily_quota_exceeded": "You have reached your daily email sending quota.",
    "monthly_quota_exceeded": "You have reached your monthly email sending quota.",
    "invalid_api_key": "API key is invalid",
    "missing_api_key": "Missing API Key",
    "concurrent_idempotent_requests": "Same idempotency key used while original request is still in progress.",
    "invalid_idempotent_request": "Same idempotency key used with a different request payload.",
}
KNOWN = {
    "from", "to", "subject", "html", "text", "cc", "bcc", "reply_to", "headers", "scheduled_at", "attachments",
    "tags", "template", "topic_id",
}  # fmt: skip


class FakeResend(FakeVendor):
    """`refusals` are the names of the errors that the next calls get; `sent` is what left the house."""

    def __init__(self):
        super().__init__()
        self.sent = {}
        self.refusals = deque()
        self.verified = {"example.com"}
        self._keys = {}

    def routes(self):
        return [
            web.post("/emails", self._send),
            web.post("/emails/batch", self._batch),
            web.get("/emails/{id}", self._get),
            web.post("/emails/{id}/cancel", self._cancel),
        ]

    def error_body(self, status):
        name = next((name for name, code in STATUS.items() if code == status), "application_error")
        return {"statusCode": status, "name": name, "message": MESSAGE.get(name, name)}

    def event(self, kind, email_id, **data):
        """Return the body of a webhook, as bytes."""
        mail = self.sent.get(email_id, {"from": "a@example.com", "to": ["b@example.org"], "subject": "Hello"})
        told = {"email_id": email_id, "created_at": "2026-11-23T10:00:00.000Z", "tags": {}}
        told |= {name: mail[name] for name in ("from", "to", "subject")} | data
        return json.dumps({"type": kind, "created_at": "2026-11-23T10:00:01.250Z", "data": told}).encode()

    def signed(self, body, delivery_id="msg_1", secret=SECRET, at=None):
        """Return the headers of a delivery; a second one of the same `delivery_id` is a repetition."""
        at = int(time.time()) if at is None else at
        key = base64.b64decode(secret.removeprefix("whsec_"))
        mac = hmac.new(key, f"{delivery_id}.{at}.".encode() + body, hashlib.sha256).digest()
        return {
            "svix-id": delivery_id,
            "svix-timestamp": str(at),
            "svix-signature": f"v1,{base64.b64encode(mac).decode()}",
        }

    def _no(self, name, message="", status=None, **headers):
        status = status or STATUS[name]
        told = {"statusCode": status, "name": name, "message": message or MESSAGE.get(name, name)}
        if name == "rate_limit_exceeded":
            headers = {"retry-after": "0", "ratelimit-limit": "2", "ratelimit-remaining": "0"} | headers
        return web.json_response(told, status=status, headers=headers)

    def _trouble(self, request):
        if not request.headers.get("User-Agent"):
            return web.json_response({"message": "Forbidden"}, status=403)
        authorization = request.headers.get("Authorization", "")
        if not authorization:
            return self._no("missing_api_key")
        if authorization != f"Bearer {KEY}":
            return self._no("invalid_api_key")
        if self.refusals:
            return self._no(self.refusals.popleft())
        return None

    def _refused(self, mail):
        for name in ("from", "to", "subject"):
            if not mail.get(name):
                return self._no("missing_required_field", f"Missing `{name}` field.")
        if set(mail) - KNOWN:
            return self._no("validation_error", f"Unknown fields {sorted(set(mail) - KNOWN)}.")
        domain = mail["from"].rstrip(">").rpartition("@")[2]
        if domain not in self.verified:
            return self._no("validation_error", f"The {domain} domain is not verified.", status=403)
        for tag in mail.get("tags", ()):
            if any(not (c.isascii() and (c.isalnum() or c in "_-")) for c in tag["name"] + tag["value"]):
                return self._no(
                    "validation_error", "Tags should only contain ASCII letters, numbers, _ and -."
                )
        return None

    async def _send(self, request):
        mail, key = await request.json(), request.headers.get("Idempotency-Key")
        if refused := self._trouble(request) or self._repeated(key, mail) or self._refused(mail):
            return refused
        return self._answer(self._keep(key, mail, self._take(mail)))

    async def _batch(self, request):
        mails, key = await request.json(), request.headers.get("Idempotency-Key")
        if refused := self._trouble(request) or self._repeated(key, mails):
            return refused
        if refused := next(filter(None, map(self._refused, mails)), None):
            return refused
        return self._answer(self._keep(key, mails, {"data": [self._take(mail) for mail in mails]}))

    def _repeated(self, key, payload):
        if key is None:
            return None
        if not 1 <= len(key) <= 256:
            return self._no("invalid_idempotency_key")
        before, answer = self._keys.get(key, (payload, None))
        if before != payload:
            return self._no("invalid_idempotent_request")
        return None if answer is None else self._answer(answer)

    def _keep(self, key, payload, answer):
        if key is not None:
            self._keys[key] = payload, answer
        return answer

    def _take(self, mail):
        mail_id = str(uuid.uuid4())
        self.sent[mail_id] = mail | {"to": [mail["to"]] if isinstance(mail["to"], str) else mail["to"]}
        return {"id": mail_id}

    def _answer(self, body):
        return web.json_response(
            body, headers={"ratelimit-limit": "2", "ratelimit-remaining": "1", "ratelimit-reset": "1"}
        )

    async def _get(self, request):
        mail = self.sent.get(request.match_info["id"])
        if mail is None:
            return self._no("not_found")
        return self._answer(
            {"object": "email", "id": request.match_info["id"], "last_event": "delivered", **mail}
        )

    async def _cancel(self, request):
        if request.match_info["id"] not in self.sent:
            return self._no("not_found")
        return self._answer({"object": "email", "id": request.match_info["id"]})
