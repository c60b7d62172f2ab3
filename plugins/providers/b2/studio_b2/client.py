"""The calls of the S3 API that storage needs, each signed by us. All of them may be repeated."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from studio import ProviderError
from studio_b2.models import NOT_FOUND, error_of, is_error, tag
from studio_b2.settings import LOOPBACK
from studio_b2.signing import EMPTY_SHA256, Signer, encoded_path, encoded_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from studio import HttpAnswer, PluginContext
    from studio_b2.settings import B2Settings

MAX_ANSWER, PIECE = 1_000_000, 65_536
BAD = 300


class B2Client:
    """Calls one bucket. No checksum header of newer SDKs is ever sent: B2 refuses them."""

    def __init__(self, ctx: PluginContext, settings: B2Settings) -> None:
        parts = urlsplit(settings.address)
        key_id = settings.key_id.get_secret_value() if settings.key_id else ""
        secret = settings.application_key.get_secret_value() if settings.application_key else ""
        self._settings, self._host = settings, parts.netloc
        self._signer = Signer(key_id, secret, settings.region)
        self._http = ctx.http.client(
            "b2",
            settings.address,
            settings.call_deadline_s,
            MAX_ANSWER,
            allow_private=[parts.hostname or ""] if parts.hostname in LOOPBACK else [],
        )

    async def put(self, key: str, body: bytes, mime: str) -> None:
        """Store a whole file. Storing the same again is the same, so it may be repeated."""
        await self._call("PUT", key, body=body, headers={"content-type": mime})

    async def head(self, key: str) -> Mapping[str, str] | None:
        """Return the headers of a file; None when there is none."""
        answer = await self._call("HEAD", key, returned=(NOT_FOUND,))
        return None if answer.status == NOT_FOUND else answer.headers

    async def explain(self, key: str) -> None:
        """Ask for the first byte of a file, to raise why it cannot be had."""
        await self._call("GET", key, headers={"range": "bytes=0-0"})

    async def remove(self, key: str, version: str) -> None:
        """Remove one version of a file, or hide the file when no version is named."""
        await self._call("DELETE", key, {"versionId": version} if version else {}, returned=(NOT_FOUND,))

    async def begin(self, key: str, mime: str) -> str:
        """Begin an upload in parts and return its id. One that is begun twice leaves an empty one behind."""
        answer = await self._call("POST", key, {"uploads": ""}, headers={"content-type": mime})
        if not (upload := tag(answer, "UploadId")):
            raise ProviderError("B2 began an upload without an id.", code="provider_bad_answer")
        return upload

    async def part(self, key: str, upload: str, number: int, body: bytes) -> str:
        """Send one part, numbered from 1, and return its ETag."""
        answer = await self._call("PUT", key, {"partNumber": str(number), "uploadId": upload}, body=body)
        return answer.headers.get("etag", "")

    async def complete(self, key: str, upload: str, etags: Sequence[str]) -> None:
        """Join the parts; raises ProviderError when B2 says yes and then no."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = await self._call("POST", key, {"uploadId": upload}, body=body)
        if is_error(answer):
            raise error_of(answer)

    async def abort(self, key: str, upload: str) -> None:
        """Drop an upload and its parts; no error when it is gone."""
        await self._call("DELETE", key, {"uploadId": upload}, returned=(NOT_FOUND,))

    async def download(self, key: str, target: Path) -> None:
        """Copy a file to `target`; raises ProviderRejectedError when the answer is not the file."""
        limit, deadline_s = self._settings.max_file_bytes, self._settings.deadline_s
        await self._http.download(self.link("GET", key, 3600), target, max_bytes=limit, deadline_s=deadline_s)

    def link(self, method: str, key: str, seconds: int, mime: str | None = None) -> str:
        """Return an address that needs no key for `seconds`; with a `mime`, it must be sent as Content-Type."""
        headers = {"host": self._host} | ({"content-type": mime} if mime else {})
        path = self._path(key)
        return f"{self._settings.address}{encoded_path(path)}?{self._signer.query(method, path, headers, seconds)}"

    def _path(self, key: str) -> str:
        return f"/{self._settings.bucket}/{self._settings.prefix}{key}"

    async def _call(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        returned: Sequence[int] = (),
    ) -> HttpAnswer:
        path, query = self._path(key), query or {}
        digest = hashlib.sha256(body).hexdigest() if body else EMPTY_SHA256
        signed = self._signer.headers(method, path, query, {"host": self._host, **(headers or {})}, digest)
        url = encoded_path(path) + (f"?{encoded_query(query)}" if query else "")
        if body:
            signed["content-length"] = str(len(body))
        pieces = _Pieces(body)
        try:
            content = pieces if body else None
            answer = await self._http.request(method, url, kind="safe", headers=signed, content=content)
        finally:
            pieces.body = b""  # requests linger until they are collected, their bodies must not
        if answer.status >= BAD and answer.status not in returned:
            raise error_of(answer)
        return answer


class _Pieces:
    """A body that is sent bit by bit, and anew by each try: sent at once it would be copied whole several times."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), PIECE):
            yield self.body[start : start + PIECE]
