"""Signatures of fal's webhooks: Ed25519 over ids, time and the body's hash. Source: docs.fal.ai, webhooks."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from studio import (
    ProviderError,
    ProviderUnavailableError,
    UnauthenticatedError,
    UnavailableError,
    json_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from studio import HttpAnswer, WebhookCall
    from studio_fal.settings import FalSettings

    class Asker(Protocol):
        """The part of the HTTP client that fetches the keys."""

        async def request(self, method: str, url: str, **options: Any) -> HttpAnswer:
            """Call and read the whole answer."""
            ...


KEYS = "/.well-known/jwks.json"
TOLERANCE_S, KEPT_S, AGAIN_S, FAILED_AGAIN_S, DEADLINE_S = 300, 86_400.0, 60.0, 10.0, 10.0
"""Keys are kept a day; a signature that fits none makes us ask anew, once a minute at most: anybody can send one."""
MOST_KEYS = 20
_TIME = re.compile(r"\d{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{128}", re.ASCII)
_ID = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)


class Signatures:
    """Checks calls against the vendor's published keys. `clock` in UTC seconds."""

    def __init__(self, http: Asker, settings: FalSettings, clock: Callable[[], float] = time.time) -> None:
        self._http, self._account, self._clock = http, settings.account, clock
        self._keys: list[Ed25519PublicKey] = []
        self._fresh_until = self._ask_from = float("-inf")
        self._asking = asyncio.Lock()

    async def verify(self, call: WebhookCall) -> str:
        """Return the request's id that was signed.

        Raises UnauthenticatedError, or UnavailableError when the keys cannot be had.
        """
        request_id, user_id, stamp, signature = self._heads(call)
        body = hashlib.sha256(call.body).hexdigest()
        message = f"{request_id}\n{user_id}\n{stamp}\n{body}".encode()
        if not self._keys or time.monotonic() > self._fresh_until:
            await self._fetch()
        if not _fits(self._keys, signature, message) and not (
            await self._fetch() and _fits(self._keys, signature, message)
        ):
            raise _refused()
        return request_id

    def _heads(self, call: WebhookCall) -> tuple[str, str, str, bytes]:
        request_id, user_id, stamp, signature = (
            call.headers.get(f"x-fal-webhook-{part}", "")
            for part in ("request-id", "user-id", "timestamp", "signature")
        )
        whole = _ID.fullmatch(request_id) and _ID.fullmatch(user_id)
        if not whole or not _TIME.fullmatch(stamp) or not _SIGNATURE.fullmatch(signature):
            raise _refused()
        if abs(self._clock() - int(stamp)) > TOLERANCE_S:
            raise _refused()
        if self._account is not None and not hmac.compare_digest(self._account.encode(), user_id.encode()):
            raise _refused()
        return request_id, user_id, stamp, bytes.fromhex(signature)

    async def _fetch(self) -> bool:
        """Fetch the keys unless that was done just now; False: they are as new as may be asked for."""
        seen = self._ask_from
        async with self._asking:
            if time.monotonic() < self._ask_from:
                if not self._keys or time.monotonic() > self._fresh_until:
                    raise _away()
                return self._ask_from != seen  # another call has fetched them while this one waited
            try:
                self._keys = await self._asked()
            except (ProviderError, ProviderUnavailableError) as error:
                self._ask_from = time.monotonic() + FAILED_AGAIN_S
                raise _away() from error
            self._ask_from, self._fresh_until = time.monotonic() + AGAIN_S, time.monotonic() + KEPT_S
            return True

    async def _asked(self) -> list[Ed25519PublicKey]:
        answer = await self._http.request("GET", KEYS, deadline_s=DEADLINE_S)
        listed = json_object(answer).get("keys") if answer.status == 200 else None  # noqa: PLR2004 - OK
        found = [
            key for raw in (listed if isinstance(listed, list) else [])[:MOST_KEYS] if (key := read_key(raw))
        ]
        if not found:
            raise ProviderError("fal publishes no key that signs.", code="provider_bad_answer")
        return found


def read_key(raw: Any) -> Ed25519PublicKey | None:
    """Return the public key of a JSON Web Key (RFC 8037); None for a key of another kind."""
    if not isinstance(raw, dict) or raw.get("kty") != "OKP" or raw.get("crv") != "Ed25519":
        return None
    text = raw.get("x")
    if not isinstance(text, str):
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(f"{text}{'=' * (-len(text) % 4)}"))
    except (ValueError, binascii.Error):
        return None


def _fits(keys: list[Ed25519PublicKey], signature: bytes, message: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False


def _refused() -> UnauthenticatedError:
    return UnauthenticatedError("The signature is not good.", code="webhook_signature")


def _away() -> UnavailableError:
    return UnavailableError("The keys of fal's webhooks cannot be had now.", retry_after=FAILED_AGAIN_S)
