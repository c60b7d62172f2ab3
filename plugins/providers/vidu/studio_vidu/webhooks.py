"""Signatures of Vidu's callbacks: over method, path, query and two headers, not over the body.

Source: platform.vidu.com/docs/callback-signature. What a callback says is therefore a hint: the vendor is asked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from studio import UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import WebhookCall

TOLERANCE_S, REMEMBERED = 300, 10_000
"""How far a Date may be off, and how many nonces a process remembers: far more than arrive meanwhile."""
MOST_HEADERS = 10
WANTED = {"date", "x-request-nonce"}
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)
_NONCE = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


def signing_string(call: WebhookCall, names: list[str]) -> bytes:
    """Return what is signed; `names` are the signed headers as the vendor lists them."""
    head = [call.method, call.path or "/", call.query, "vidu", call.headers.get("date", "")]
    lines = [f"{name}:{call.headers[name.lower()]}" for name in names]
    return "".join(f"{line}\n" for line in [*head, *lines]).encode("utf-8", "surrogateescape")


class Signatures:
    """Checks callbacks with the key that made their tasks. `clock` in UTC seconds."""

    def __init__(self, key: str, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = key.encode(), clock
        self._seen: OrderedDict[str, bytes] = OrderedDict()

    def verify(self, call: WebhookCall) -> str:
        """Return the nonce, the same for every repetition of a callback; raises UnauthenticatedError.

        A nonce that comes again with another body is a forgery: the body is not signed.
        """
        names, heads = self._names(call), call.headers
        fixed = (heads.get("x-hmac-algorithm"), heads.get("x-hmac-access-key"))
        if not self._key or fixed != ("hmac-sha256", "vidu"):
            raise _refused()
        nonce = heads["x-request-nonce"]
        if not _NONCE.fullmatch(nonce) or abs(self._clock() - _seconds(heads["date"])) > TOLERANCE_S:
            raise _refused()
        mac = hmac.new(self._key, signing_string(call, names), hashlib.sha256).digest()
        given = heads.get("x-hmac-signature", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(base64.b64encode(mac), given):
            raise _refused()
        self._remember(nonce, hashlib.sha256(call.body).digest())
        return nonce

    def _names(self, call: WebhookCall) -> list[str]:
        names = call.headers.get("x-hmac-signed-headers", "").split(";")
        lower = {name.lower() for name in names}
        whole = len(lower) == len(names) <= MOST_HEADERS and lower >= WANTED and lower <= set(call.headers)
        if not whole or not all(map(_NAME.fullmatch, names)):
            raise _refused()
        return names

    def _remember(self, nonce: str, body: bytes) -> None:
        if self._seen.setdefault(nonce, body) != body:
            raise _refused()
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def _seconds(date: str) -> float:
    if not _DATE.fullmatch(date):
        raise _refused()
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError as error:
        raise _refused() from error


def _refused() -> UnauthenticatedError:
    return UnauthenticatedError("The signature is not good.", code="webhook_signature")
