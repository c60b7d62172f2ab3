"""Resend's words: what it is sent, what it answers, and what its errors mean.

Source: Resend API reference and OpenAPI description, emails and errors; webhook event types.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from studio import Fault, VendorTable

if TYPE_CHECKING:
    from studio import Mail
    from studio_resend.settings import ResendSettings

TAG_CHARS, KEY_CHARS = 256, 256
_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_CHARS}}}")
_TAG = re.compile(r"[^A-Za-z0-9_-]")

AGAIN = ("rate_limit_exceeded", "concurrent_idempotent_requests")
"""All but these and 5xx is not repeated."""
QUOTAS = ("daily_quota_exceeded", "monthly_quota_exceeded")
TABLE = VendorTable(
    "Resend",
    errors={
        "rate_limit_exceeded": Fault("provider_rate_limited", retryable=True),
        "concurrent_idempotent_requests": Fault("provider_busy", retryable=True),
        "invalid_idempotent_request": Fault("idempotency_key_reused"),
        "invalid_idempotency_key": Fault("invalid_idempotency_key"),
        "validation_error": Fault("mail_refused"),
        "missing_required_field": Fault("mail_refused"),
        "invalid_attachment": Fault("mail_refused", input="attachment"),
        "not_found": Fault("provider_not_found"),
    },
)


class WebhookData(BaseModel):
    """What we read of an event; only events of mails have an `email_id`."""

    email_id: str | None = None


class WebhookBody(BaseModel):
    """One event, e.g. `email.bounced`."""

    type: str
    created_at: datetime
    data: WebhookData


def email_of(mail: Mail, settings: ResendSettings) -> dict[str, Any]:
    """Return the body of `POST /emails`."""
    body: dict[str, Any] = {"from": settings.sender, "to": [mail.to], "subject": mail.subject}
    body["text"] = mail.text
    if mail.html is not None:
        body["html"] = mail.html
    if settings.reply_to:
        body["reply_to"] = settings.reply_to
    if mail.tags:
        names = dict.fromkeys(_TAG.sub("_", tag)[:TAG_CHARS] for tag in mail.tags if tag)
        body["tags"] = [{"name": name, "value": "1"} for name in names]
    return body


def key_of(idempotency_key: str) -> str:
    """Return the key as a header may carry it: as it is, or its SHA-256 where it is too long or not ASCII."""
    if _KEY.fullmatch(idempotency_key):
        return idempotency_key
    return hashlib.sha256(idempotency_key.encode()).hexdigest()
