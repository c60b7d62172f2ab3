"""What vendor plugins share: one table of a vendor's words, prices, Standard Webhooks, files as data."""

from __future__ import annotations

import base64
import mimetypes
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from studio.errors import (
    BadRequestError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    UnauthenticatedError,
)
from studio.providers.contract import GenerationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from studio.http_client import HttpAnswer
    from studio.providers.contract import ModelSpec
    from studio.providers.services import WebhookCall

_UNIX_S = re.compile(r"[1-9][0-9]{0,11}")
State = Literal["running", "succeeded", "failed", "cancelled"]
_PER = {
    "per_call": (("calls", 1),),
    "per_image": (("images", 1),),
    "per_second": (("seconds", 1),),
    "per_1k_characters": (("characters", 1_000),),
    "per_1m_tokens": (("input_tokens", 1_000_000), ("output_tokens", 1_000_000)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What one of a vendor's error words means to a job; `input` names the part of the request that was refused."""

    code: str
    retryable: bool = False
    input: str | None = None


@dataclass(frozen=True, slots=True)
class VendorTable:
    """The words of one vendor, declared once and tested on captured payloads: its states, its errors.

    `errors` goes by the vendor's own word or, where it has none, by HTTP status.
    """

    vendor: str
    states: Mapping[str, State] = field(default_factory=dict)
    errors: Mapping[str | int, Fault] = field(default_factory=dict)

    def state(self, word: object) -> State:
        """Return what a state means; raises ProviderError for a word that the table lacks."""
        if isinstance(word, str) and word in self.states:
            return self.states[word]
        raise ProviderError(
            f"{self.vendor} reports a state that is not known here.", code="provider_bad_answer"
        )

    def failure(self, *words: object, message: str = "") -> GenerationError:
        """Return the error of the first of the vendor's words that is in the table."""
        known = (self.errors[word] for word in words if isinstance(word, (str, int)) and word in self.errors)
        fault = next(known, Fault("provider_failed"))
        text = " ".join(str(message).split())[:500] or f"{self.vendor} gave no reason."
        return GenerationError(code=fault.code, message=text, retryable=fault.retryable, input=fault.input)

    def refusal(
        self, answer: HttpAnswer, *words: object, message: str = ""
    ) -> ProviderError | ProviderUnavailableError:
        """Return the exception for a 4xx answer, to be raised: the vendor did not take the call, nothing is charged."""
        failure = self.failure(*words, answer.status, message=message)
        detail = f"{self.vendor}: {failure.message}"
        if failure.code == "provider_failed" and answer.status in (401, 402, 403):
            return ProviderUnavailableError(detail, code="provider_key_refused")
        kind = ProviderError if failure.retryable else ProviderRejectedError
        code = "provider_rejected" if failure.code == "provider_failed" else failure.code
        return kind(detail, code=code, input=failure.input)


def price_of(model: ModelSpec, usage: Mapping[str, int]) -> int | None:
    """Return what a usage costs in micro-USD, rounded up; None when a price or a count is not known."""
    if model.price_kind == "free":
        return 0
    total = 0
    for (unit, per), price in zip(
        _PER.get(model.price_kind, ()), (model.unit_price_uusd, model.output_price_uusd), strict=False
    ):
        if price is None or unit not in usage:
            return None
        total -= -usage[unit] * price // per
    return total if model.price_kind in _PER else None


def verify_standard_webhook(call: WebhookCall, secret: str, prefix: str = "webhook") -> str:
    """Check a Standard Webhooks signature over the raw body and return the delivery's id.

    `prefix` is "svix" for Resend. Raises UnauthenticatedError. Source: standardwebhooks.com, version 1.
    """
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError  # noqa: PLC0415 - where one comes

    headers = {
        f"webhook-{part}": call.headers.get(f"{prefix}-{part}", "")
        for part in ("id", "timestamp", "signature")
    }
    try:
        if not _UNIX_S.fullmatch(headers["webhook-timestamp"]):  # the library reads "1.7e9" too, and "+1"
            raise ValueError("the time is no whole number of seconds")
        Webhook(secret).verify(call.body, headers, json_parse=False)
    except (WebhookVerificationError, UnicodeError, ValueError) as error:
        raise UnauthenticatedError("The signature is not good.", code="webhook_signature") from error
    return headers["webhook-id"]


def json_object(answer: HttpAnswer) -> dict[str, Any]:
    """Return the answer's JSON object; raises ProviderError (`provider_bad_answer`) for anything else."""
    found = answer.json()
    if not isinstance(found, dict):
        raise ProviderError("The answer is no JSON object.", code="provider_bad_answer")
    return found


def data_uri(path: Path, limit: int) -> str:
    """Return a file as a data URI; raises BadRequestError when it has more than `limit` bytes."""
    if path.stat().st_size > limit:
        raise BadRequestError(f"{path.name} has more than {limit} bytes.")
    mime = mimetypes.guess_type(path.name, strict=False)[0] or "application/octet-stream"  # WebP, before 3.13
    return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"
