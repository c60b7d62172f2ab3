"""The vendor's words for what went wrong, and the names of files."""

from __future__ import annotations

import html
import mimetypes
import re
from typing import TYPE_CHECKING

from studio import (
    Fault,
    InvalidInputError,
    NotFoundError,
    ProviderUnavailableError,
    StorageFullError,
    VendorTable,
)

if TYPE_CHECKING:
    from studio import HttpAnswer, StudioError

TABLE = VendorTable(
    vendor="B2",
    errors={
        "BadDigest": Fault("provider_bad_digest", retryable=True),
        "XAmzContentSHA256Mismatch": Fault("provider_bad_digest", retryable=True),
        "RequestTimeout": Fault("provider_timeout", retryable=True),
        "SlowDown": Fault("provider_rate_limited", retryable=True),
        "ServiceUnavailable": Fault("provider_failed_for_now", retryable=True),
        "InternalError": Fault("provider_failed_for_now", retryable=True),
        "NoSuchUpload": Fault("upload_gone", retryable=True),
        "RequestTimeTooSkewed": Fault("clock_is_wrong"),
        "NoSuchBucket": Fault("bucket_not_found"),
        "EntityTooLarge": Fault("file_too_large"),
        "InvalidArgument": Fault("provider_rejected"),
        408: Fault("provider_timeout", retryable=True),
    },
)
"""S3's codes. AccessDenied, InvalidAccessKeyId and SignatureDoesNotMatch are left to their status: the key is refused.

429 and 5xx are repeated by the HTTP client, as every call here is safe to repeat.
"""

KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(\.[a-z0-9]{1,8})?")
_MIME = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*(; ?[a-z0-9-]+=[a-zA-Z0-9_.+-]+)*", re.IGNORECASE
)
_SUFFIXES = {
    "application/otio+json": ".otio", "application/x-subrip": ".srt", "audio/wav": ".wav",
    "image/jpeg": ".jpg", "text/vtt": ".vtt", "text/x-ass": ".ass", "text/x-edl": ".edl",
    "application/fcpxml+xml": ".fcpxml",
}  # fmt: skip
NOT_FOUND, FORBIDDEN = 404, 403


def key_of(sha256: str, mime: str) -> str:
    """Return the key of a file: its digest, under the first two digits, with the suffix of its type."""
    plain = mime.split(";", maxsplit=1)[0].strip()
    return f"{sha256[:2]}/{sha256}{_SUFFIXES.get(plain) or mimetypes.guess_extension(plain) or ''}"


def digest_of(key: str) -> str:
    """Return the digest that a key stands for."""
    return key[3:67]


def checked_mime(mime: str) -> str:
    """Return a media type that can stand in a header; raises InvalidInputError."""
    if not _MIME.fullmatch(mime) or len(mime) > 200:  # noqa: PLR2004 - none is as long
        raise InvalidInputError("This is no media type.")
    return mime


def error_of(answer: HttpAnswer) -> StudioError:
    """Return the error of an S3 answer: NotFoundError, StorageFullError for a full account, or the table's."""
    text = answer.body[:10_000].decode("utf-8", "replace")
    code, message = _tag(text, "Code"), _tag(text, "Message")
    if code == "NoSuchKey" or (answer.status == NOT_FOUND and not code):
        return NotFoundError("There is no such file in the storage.")
    if answer.status == FORBIDDEN and "cap exceeded" in message.lower():
        if "storage cap" in message.lower():
            return StorageFullError("B2: the storage cap of the account is reached.")
        return ProviderUnavailableError(f"B2: {message}", code="provider_cap_exceeded")
    return TABLE.refusal(answer, code, message=f"{code} {message}".strip())


def is_error(answer: HttpAnswer) -> bool:
    """Say if an answer with status 200 is an error all the same: joining parts is answered before it is done."""
    return b"<Error>" in answer.body[:10_000]


def tag(answer: HttpAnswer, name: str) -> str:
    """Return the text of the first element of that name; "" when there is none."""
    return _tag(answer.body.decode("utf-8", "replace"), name)


def _tag(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return html.unescape(found[1]).strip() if found else ""
