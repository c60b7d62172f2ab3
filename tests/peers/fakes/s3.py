"""The S3 API as Backblaze B2 has it, as far as storage uses it: versions, parts, links, ranges.

Signatures are verified from the bytes of the request line, written independently of the plugin's signer; requests
with checksum headers of newer SDKs are refused as B2 refuses them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from calendar import timegm
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_plus

from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY_ID, SECRET = "0040123456789ab0000000001", "K004fakeApplicationKey0123456789"
REGION, BUCKET = "us-west-004", "studio-films"
SKEW_S, LONGEST_S = 900, 604_800
SMALLEST_PART = 5 * 1024 * 1024
REFUSED = re.compile(r"x-amz-(checksum-.*|sdk-checksum-algorithm|trailer)")
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


class RefusedError(Exception):
    """Becomes an S3 error document."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Stored:
    """One version of a file."""

    body: bytes
    mime: str
    version: str


@dataclass
class Upload:
    """An upload in parts that is under way."""

    key: str
    mime: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Fake(FakeVendor):
    """`files` are all versions by key, oldest first; `uploads` those that are neither complete nor dropped."""

    def __init__(self):
        super().__init__()
        self.files: dict[str, list[Stored]] = {}
        self.uploads: dict[str, Upload] = {}
        self.refusals = []
        """Errors to answer with instead, in order: (expression for "METHOD path?query", status, code, message)."""
        self.late_error = False
        """The next completion says 200 and then that it failed."""
        self.lose_completion = False
        """The next completion is done and its answer is lost."""
        self._count = 0

    def routes(self):
        return [web.route("*", "/{rest:.*}", self.call)]

    async def call(self, request):
        try:
            path, _, query = request.raw_path.partition("?")
            self._break_if_told(request.method, request.raw_path)
            body = await request.read()
            pairs = [
                tuple(map(unquote, p.split("=", 1))) if "=" in p else (unquote(p), "")
                for p in filter(None, query.split("&"))
            ]
            verify(request.method, path, pairs, request.headers, body)
            bucket, _, key = unquote(path).lstrip("/").partition("/")
            if bucket != BUCKET:
                raise RefusedError(404, "NoSuchBucket", f"The specified bucket does not exist: {bucket}")
            return getattr(self, f"_{request.method.lower()}")(request, key, dict(pairs), body)
        except RefusedError as error:
            return document(error, head=request.method == "HEAD")

    def _break_if_told(self, method, path):
        for refusal in self.refusals:
            if re.search(refusal[0], f"{method} {path}"):
                self.refusals.remove(refusal)
                raise RefusedError(*refusal[1:])

    def _put(self, request, key, query, body):
        if "uploadId" in query:
            upload, number = self._upload(key, query["uploadId"]), int(query["partNumber"])
            if not 1 <= number <= 10_000:
                raise RefusedError(400, "InvalidArgument", "Part number must be between 1 and 10000.")
            upload.parts[number] = body
        else:
            self._store(key, body, request.headers.get("Content-Type", "b2/x-auto"))
        return web.Response(headers={"ETag": etag(body)})

    def _post(self, request, key, query, body):
        if "uploads" in query:
            self._count += 1
            upload = f"4_z{self._count:04}_f=+/ é"  # every character that a query has to encode
            self.uploads[upload] = Upload(key, request.headers.get("Content-Type", "b2/x-auto"))
            return xml(
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
        upload = self._upload(key, query["uploadId"])
        rows = re.findall(r"<Part>(.*?)</Part>", body.decode())
        named = [
            tuple(re.search(f"<{tag}>([^<]*)</", row)[1] for tag in ("PartNumber", "ETag")) for row in rows
        ]
        named = [(number, mark.replace("&quot;", '"')) for number, mark in named]
        if [int(n) for n, _ in named] != sorted(upload.parts) or any(
            etag(upload.parts[int(n)]) != e for n, e in named
        ):
            raise RefusedError(400, "InvalidPart", "One or more of the specified parts could not be found.")
        if any(len(upload.parts[int(number)]) < SMALLEST_PART for number, _ in named[:-1]):
            raise RefusedError(
                400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size."
            )
        if self.late_error:
            self.late_error = False
            return xml("\n\n<Error><Code>InternalError</Code><Message>We had trouble.</Message></Error>")
        self._store(key, b"".join(upload.parts[number] for number in sorted(upload.parts)), upload.mime)
        del self.uploads[query["uploadId"]]
        if self.lose_completion:
            self.lose_completion = False
            request.transport.close()
        return xml("<CompleteMultipartUploadResult><ETag>x-1</ETag></CompleteMultipartUploadResult>")

    def _get(self, request, key, query, body):
        del query, body
        found = self._current(key)
        given = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if given:
            part = found.body[int(given[1]) : int(given[2]) + 1]
            return web.Response(status=206, body=part, headers={"Content-Type": found.mime})
        return web.Response(
            body=found.body, headers={"Content-Type": found.mime, "x-amz-version-id": found.version}
        )

    def _head(self, request, key, query, body):
        del request, query, body
        found = self._current(key)
        headers = {
            "Content-Type": found.mime,
            "Content-Length": str(len(found.body)),
            "x-amz-version-id": found.version,
        }
        return web.Response(headers=headers)

    def _delete(self, request, key, query, body):
        del request, body
        if "uploadId" in query:
            self._upload(key, query["uploadId"])
            del self.uploads[query["uploadId"]]
        elif "versionId" in query:
            kept = [one for one in self.files.get(key, ()) if one.version != query["versionId"]]
            self.files[key] = kept
        else:
            self._store(key, None, "")  # a hide marker
        return web.Response(status=204)

    def _store(self, key, body, mime):
        self._count += 1
        self.files.setdefault(key, []).append(Stored(body, mime, f"4_version{self._count}"))

    def _current(self, key):
        found = self.files.get(key)
        if not found or found[-1].body is None:
            raise RefusedError(404, "NoSuchKey", "The specified key does not exist.")
        return found[-1]

    def _upload(self, key, name):
        upload = self.uploads.get(name)
        if upload is None or upload.key != key:
            raise RefusedError(404, "NoSuchUpload", "The specified multipart upload does not exist.")
        return upload


def etag(body):
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def xml(text):
    return web.Response(text=f'<?xml version="1.0" encoding="UTF-8"?>{text}', content_type="application/xml")


def document(error, *, head):
    text = f"<Error>\n    <Code>{error.code}</Code>\n    <Message>{error}</Message>\n</Error>\n"
    if head:
        return web.Response(status=error.status)
    return web.Response(text=text, status=error.status, content_type="application/xml")


# ---------------------------------------------------------------- signatures


def verify(method, path, pairs, headers, body):
    """Raise RefusedError unless the request is signed by KEY_ID, in its header or in its query, and is in time."""
    named = {name.lower(): value for name, value in headers.items()}
    bad = sorted(name for name in named if REFUSED.fullmatch(name))
    if bad:
        raise RefusedError(
            400, "InvalidArgument", f"Unsupported header '{bad[0]}' received for this API call."
        )
    query = dict(pairs)
    if len(query) != len(pairs):
        raise RefusedError(400, "InvalidArgument", "A parameter is given twice.")
    if "X-Amz-Signature" in query:
        return _verify_link(method, path, query, named)
    found = AUTHORIZATION.fullmatch(named.get("authorization", ""))
    if not found:
        raise RefusedError(403, "AccessDenied", "Unauthenticated requests are not allowed for this api")
    key_id, day, region, signed, signature = found.groups()
    digest, stamp = named.get("x-amz-content-sha256", ""), named.get("x-amz-date", "")
    if digest != hashlib.sha256(body).hexdigest():
        raise RefusedError(400, "XAmzContentSHA256Mismatch", "The provided hash does not match the body.")
    if abs(time.time() - moment(stamp)) > SKEW_S:
        raise RefusedError(403, "RequestTimeTooSkewed", "The time is too far off.")
    needed = {"host", *(name for name in named if name.startswith("x-amz-"))}
    text = canonical(method, path, query, named, signed.split(";"), needed, digest)
    return _compare(key_id, day, region, stamp, text, signature)


def _verify_link(method, path, query, named):
    signature = query.pop("X-Amz-Signature")
    key_id, day, region, service, end = query["X-Amz-Credential"].split("/")
    seconds, stamp = int(query["X-Amz-Expires"]), query["X-Amz-Date"]
    if (query["X-Amz-Algorithm"], service, end) != ("AWS4-HMAC-SHA256", "s3", "aws4_request"):
        raise RefusedError(403, "SignatureDoesNotMatch", "The scope is not good.")
    if not 1 <= seconds <= LONGEST_S:
        raise RefusedError(400, "AuthorizationQueryParametersError", "X-Amz-Expires must be less than a week")
    if time.time() > moment(stamp) + seconds or moment(stamp) > time.time() + SKEW_S:
        raise RefusedError(403, "AccessDenied", "Request has expired")
    text = canonical(
        method, path, query, named, query["X-Amz-SignedHeaders"].split(";"), {"host"}, "UNSIGNED-PAYLOAD"
    )
    _compare(key_id, day, region, stamp, text, signature)


def canonical(method, path, query, named, signed, needed, digest):
    if signed != sorted(set(signed)) or not needed <= set(signed) or not set(signed) <= set(named):
        raise RefusedError(
            403, "AccessDenied", "There were headers present in the request which were not signed"
        )
    lines = [method, quote(unquote_plus(path.replace("+", "%2B")), safe="/-_.~")]
    lines.append(
        "&".join(sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in query.items()))
    )
    lines += [f"{name}:{' '.join(named[name].split())}" for name in signed]
    return "\n".join([*lines, "", ";".join(signed), digest])


def _compare(key_id, day, region, stamp, text, signature):
    if key_id != KEY_ID:
        raise RefusedError(403, "InvalidAccessKeyId", "The key is not valid")
    if region != REGION or not stamp.startswith(day):
        raise RefusedError(403, "SignatureDoesNotMatch", "The scope is not that of this region and day")
    key = b"AWS4" + SECRET.encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    scope = f"{day}/{region}/s3/aws4_request"
    wanted = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(text.encode()).hexdigest()}"
    if hmac.new(key, wanted.encode(), hashlib.sha256).hexdigest() != signature:
        raise RefusedError(403, "SignatureDoesNotMatch", "Signature validation failed")


def moment(stamp):
    try:
        return timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise RefusedError(403, "AccessDenied", "The time of the request cannot be read") from None
