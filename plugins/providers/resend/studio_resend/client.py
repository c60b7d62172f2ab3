"""`ResendMailer`: sends one mail per key, and reads the news of what became of it.

Resend remembers an `Idempotency-Key` for 24 hours: the same call again is the same mail, so that a lost answer may
be asked for once more.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from pydantic import ValidationError

from studio import (
    BadRequestError,
    ProviderError,
    ProviderUnavailableError,
    StudioError,
    UnavailableError,
    WebhookNews,
    json_object,
    verify_standard_webhook,
)
from studio_resend.models import AGAIN, QUOTAS, TABLE, WebhookBody, email_of, key_of
from studio_resend.settings import ResendSettings

if TYPE_CHECKING:
    from studio import HttpAnswer, Mail, PluginContext, WebhookCall

DEADLINE_S, MAX_BYTES = 20.0, 100_000
TRIES, WAIT_S, WAIT_CAP_S, QUOTA_S = 3, 0.5, 3.0, 3600.0
OK, TOO_MANY = 200, 429
_KEY_TROUBLE = (401, 403)
_SAD = ("email.bounced", "email.complained", "email.failed", "email.suppressed")


class ResendMailer:
    """The capability `mail`."""

    def __init__(self, ctx: PluginContext) -> None:
        self._log, self._settings = ctx.log, ctx.settings(ResendSettings)
        key = self._settings.api_key.get_secret_value() if self._settings.api_key else ""
        url = self._settings.api_url
        local = ("127.0.0.1", "localhost") if url.startswith("http://") else ()
        headers = {"Authorization": f"Bearer {key}"}
        self._http = ctx.http.client(
            "resend", url, DEADLINE_S, MAX_BYTES, headers=headers, allow_private=local
        )

    async def send(self, mail: Mail, *, idempotency_key: str) -> str:
        """Send once per key and return Resend's id of the mail.

        Raises ProviderError when it may be tried again, ProviderRejectedError for a mail that it will never
        take, ProviderUnavailableError for a key that is not good or a quota that is used up.
        """
        body, key = email_of(mail, self._settings), key_of(idempotency_key)
        for attempt in range(1, TRIES + 1):
            answer = await self._http.request(
                "POST",
                "/emails",
                kind="safe",
                returned=(TOO_MANY,),
                json=body,
                headers={"Idempotency-Key": key},
            )
            if answer.status == OK:
                return _id_of(answer)
            name, error = _error_of(answer)
            wait = error.retry_after if error.retry_after is not None else WAIT_S * attempt
            if name not in AGAIN or attempt == TRIES or wait > WAIT_CAP_S:
                raise error
            await asyncio.sleep(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Check the signature and say what became of a mail: news without a job."""
        if self._settings.webhook_secret is None:
            raise UnavailableError("Nothing to check the signature with: set STUDIO_RESEND__WEBHOOK_SECRET.")
        delivery_id = verify_standard_webhook(call, self._settings.webhook_secret.get_secret_value(), "svix")
        try:
            event = WebhookBody.model_validate_json(call.body)
        except ValidationError as error:
            raise BadRequestError("This is no event of Resend.") from error
        tell = self._log.warning if event.type in _SAD else self._log.info
        tell("mail_news", kind=event.type, message_id=event.data.email_id, delivery_id=delivery_id)
        at_ms = int(event.created_at.timestamp() * 1000)
        return WebhookNews(delivery_id=delivery_id, kind=event.type, at_ms=at_ms)


def _id_of(answer: HttpAnswer) -> str:
    found = json_object(answer).get("id")
    if not isinstance(found, str) or not found:
        raise ProviderError("Resend took the mail and gave no id.", code="provider_bad_answer")
    return found


def _error_of(answer: HttpAnswer) -> tuple[object, StudioError]:
    """Return Resend's name of the error and what to raise."""
    try:
        body = json_object(answer)
    except ProviderError:
        body = {}  # a proxy's page: the status alone decides
    name, message = body.get("name"), str(body.get("message") or f"status {answer.status}")
    if name in QUOTAS:
        return name, ProviderUnavailableError(
            f"Resend: {message}", code=str(name), retry_after=_wait_of(answer) or QUOTA_S
        )
    if answer.status == TOO_MANY and name not in AGAIN:
        name = "rate_limit_exceeded"
    words = () if answer.status in _KEY_TROUBLE else (name,)
    error = TABLE.refusal(answer, *words, message=message)
    error.retry_after = _wait_of(answer)
    return name, error


def _wait_of(answer: HttpAnswer) -> float | None:
    """Return the seconds that `retry-after` or `ratelimit-reset` names."""
    text = answer.headers.get("retry-after") or answer.headers.get("ratelimit-reset") or ""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
