"""The vendor's signed calls. Source: elevenlabs 2.78.0, webhooks_custom.py."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import orjson

from studio import BadRequestError, UnauthenticatedError, UnavailableError, WebhookNews

if TYPE_CHECKING:
    from pydantic import SecretStr

    from studio import WebhookCall

TOLERANCE_S = 1800
"""The vendor's own; here it counts in both directions."""
_DIGITS = 12
_HEADER = 2_000


def parse(call: WebhookCall, secret: SecretStr | None) -> WebhookNews:
    """Check `ElevenLabs-Signature` over the raw body, then read it.

    The vendor numbers no deliveries: the digest of the body, which holds its time, stands for one. None is about a
    job: what is ordered here is answered at once.
    """
    if secret is None:
        raise UnavailableError("set STUDIO_ELEVENLABS__WEBHOOK_SECRET", code="webhook_secret_missing")
    verify(call, secret.get_secret_value())
    event = _event(call.body)
    at = event.get("event_timestamp")
    return WebhookNews(
        delivery_id=hashlib.sha256(call.body).hexdigest(),
        kind=str(event["type"])[:100],
        at_ms=int(at * 1000) if isinstance(at, (int, float)) and 0 < at < 10**_DIGITS else None,
    )


def verify(call: WebhookCall, secret: str) -> None:
    """Compare the HMAC of `<t>.<raw body>`, keyed with the secret as text; raises UnauthenticatedError."""
    header = call.headers.get("elevenlabs-signature", "")[:_HEADER]
    parts = [part.strip() for part in header.split(",")]
    times = [part[2:] for part in parts if part.startswith("t=")]
    if not secret or len(times) != 1 or not _good_time(times[0], call.received_at):
        raise _refused()
    signed = times[0].encode() + b"." + call.body
    right = b"v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
    given = [part.encode("utf-8", "replace") for part in parts if part.startswith("v0=")]
    if not any([hmac.compare_digest(right, one) for one in given]):  # noqa: C419 - each is compared, in equal time
        raise _refused()


def _good_time(text: str, received_ms: int) -> bool:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return False
    return abs(received_ms - int(text) * 1000) <= TOLERANCE_S * 1000


def _refused() -> UnauthenticatedError:
    return UnauthenticatedError("The signature is not good.", code="webhook_signature")


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError("The call is no JSON.") from error
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise BadRequestError("The call names no event.")
    return event
