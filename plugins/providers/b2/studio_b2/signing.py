"""AWS Signature Version 4 for S3, in a header or in the query. Source: AWS, Signature Version 4 for API requests."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one key and region. `path` is the decoded path, header names are in lower case."""

    key_id: str
    secret: str = field(repr=False)
    region: str

    def headers(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        payload_sha256: str,
        now: datetime | None = None,
    ) -> dict[str, str]:
        """Return `headers` (with `host`) and those that sign them together with the payload's hash."""
        stamp = _stamp(now)
        signed = {**headers, "x-amz-content-sha256": payload_sha256, "x-amz-date": stamp}
        names, canonical = _canonical(method, path, query, signed, payload_sha256)
        credential = f"Credential={self.key_id}/{self._scope(stamp)}"
        signature = f"Signature={self._signature(stamp, canonical)}"
        signed["authorization"] = f"{ALGORITHM} {credential}, SignedHeaders={names}, {signature}"
        return signed

    def query(
        self, method: str, path: str, headers: Mapping[str, str], seconds: int, now: datetime | None = None
    ) -> str:
        """Return the query string of a link that is good for `seconds`; who uses it must send `headers` as signed."""
        stamp = _stamp(now)
        query = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{self.key_id}/{self._scope(stamp)}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": ";".join(sorted(headers)),
        }
        _, canonical = _canonical(method, path, query, headers, UNSIGNED)
        return f"{encoded_query(query)}&X-Amz-Signature={self._signature(stamp, canonical)}"

    def _scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self.region}/s3/aws4_request"

    def _signature(self, stamp: str, canonical: str) -> str:
        key = f"AWS4{self.secret}".encode()
        for part in self._scope(stamp).split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join((ALGORITHM, stamp, self._scope(stamp), digest))
        return hmac.digest(key, text.encode(), "sha256").hex()


def encoded_path(path: str) -> str:
    """Return a path as it is sent and signed: S3 encodes it once, and keeps its slashes."""
    return quote(path, safe="/-_.~")


def encoded_query(query: Mapping[str, str]) -> str:
    """Return a query as it is sent and signed: sorted, everything encoded."""
    return "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(query.items()))


def _canonical(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], payload_sha256: str
) -> tuple[str, str]:
    """Return the names of the signed headers and the text that is signed."""
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    parts = (method, encoded_path(path), encoded_query(query), lines, names, payload_sha256)
    return names, "\n".join(parts)


def _stamp(now: datetime | None) -> str:
    return f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
