"""fal.ai as far as Studio uses it: the queue with its subpath trap, storage, signed webhooks and the keys for them.

It is stricter than the vendor: requests are known below their app only, and a header that does not parse is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from datetime import UTC, datetime

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from studio.testing.vendor import FakeVendor

KEY = "fake-key-id:fake-key-secret-0123456789"
CDN_TOKEN = "fake-cdn-token"
ACCOUNT = "github|fake-account"
NAMESPACES = ("workflows", "comfy")
FILE = {
    "url": "https://v3.fal.media/files/fake/out.png",
    "width": 1280,
    "height": 720,
    "content_type": "image/png",
}
PICTURE = {
    "images": [FILE],
    "timings": {"inference": 0.5},
    "seed": 7,
    "has_nsfw_concepts": [False],
    "prompt": "A lighthouse in rain",
}
FIELDS = {"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing", "input": {}}]}


def key_of(seed):
    """Return a private key that is the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())


def jwk(private, **fields):
    public = private.public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "use": "sig", "kid": x[:8], **fields}


class Fake(FakeVendor):
    """Requests that end after `polls` questions with `output`, or as `error` (status, body, headers) says."""

    def __init__(self, polls=1):
        super().__init__()
        self.polls = polls
        self.output = PICTURE
        self.units = "1"
        self.error = None
        self.told = {}
        """What COMPLETED says besides: error, error_type."""
        self.private = key_of("fal")
        self.keys = [jwk(key_of("fal, before")), jwk(self.private)]
        self.requests = {}
        self.left = {}
        self.files = {}
        self.parts = {}
        """Parts of uploads that are not complete, by upload id: (name, type, {number: bytes})."""
        self.cdn = None
        """Where the CDN lies; None: here."""
        self.token_lives_s = 3600
        self.origin = None
        """Where the addresses of an answer lead; None: here."""

    def routes(self):
        below = "/{app:.+}/requests/{id}"
        return [
            web.get("/.well-known/jwks.json", self.jwks),
            web.post("/storage/upload/initiate", self.initiate),
            web.put("/upload/{name}", self.put),
            web.post("/storage/auth/token", self.token),
            web.post("/files/upload/multipart", self.begin),
            web.put("/files/fake/{name}/multipart/{id}/{number}", self.part),
            web.post("/files/fake/{name}/multipart/{id}/complete", self.complete),
            web.get(f"{below}/status", self.status),
            web.put(f"{below}/cancel", self.cancel),
            web.get(below, self.result),
            web.post("/{endpoint:.+}", self.submit),
        ]

    def error_body(self, status):
        if status == 422:
            return FIELDS
        return {
            "detail": "Something went wrong",
            "error_type": "internal_error" if status == 500 else "bad_request",
        }

    # ------------------------------------------------------------ queue

    async def submit(self, request):
        if refused := self._unauthorized(request):
            return refused
        body = await request.json()
        if not isinstance(body, dict):
            return web.json_response(
                {"detail": [{"loc": ["body"], "msg": "no object", "type": "dict_type"}]}, status=422
            )
        for name, kind in (
            ("X-Fal-Request-Timeout", float),
            ("X-Fal-Object-Lifecycle-Preference", json.loads),
        ):
            kind(request.headers.get(name, "1"))
        if request.headers.get("X-Fal-Queue-Priority", "normal") not in ("normal", "low"):
            return web.json_response({"detail": "Invalid priority", "error_type": "bad_request"}, status=400)
        made = self.start(request.match_info["endpoint"], body)
        self.requests[made["request_id"]]["webhook"] = request.query.get("fal_webhook")
        return web.json_response(made)

    def start(self, endpoint, body=None):
        """Queue a request as if somebody had asked for it; returns the answer."""
        parts = endpoint.split("/")
        app = "/".join(parts[: 3 if parts[0] in NAMESPACES else 2])
        request_id = str(uuid.uuid4())
        self.requests[request_id] = {
            "app": app,
            "endpoint": endpoint,
            "input": body or {},
            "status": "IN_QUEUE",
        }
        self.left[request_id] = self.polls
        return {"status": "IN_QUEUE", "request_id": request_id, **self._urls(request_id), "queue_position": 0}

    def _urls(self, request_id):
        url = f"{self.origin or self.url}/{self.requests[request_id]['app']}/requests/{request_id}"
        return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}

    async def status(self, request):
        made, refused = self._known(request)
        if refused:
            return refused
        request_id = request.match_info["id"]
        self.left[request_id] -= 1
        if made["status"] != "COMPLETED":
            made["status"] = "IN_PROGRESS" if self.left[request_id] > 0 else "COMPLETED"
        answer = {"status": made["status"], "request_id": request_id, **self._urls(request_id), "logs": None}
        if made["status"] == "COMPLETED":
            answer |= {"metrics": {"inference_time": 0.5}, **self.told, **made.get("told", {})}
            return web.json_response(answer)
        return web.json_response(answer, status=202)

    async def result(self, request):
        made, refused = self._known(request)
        if refused:
            return refused
        if made["status"] != "COMPLETED":
            return web.json_response({"detail": "Request is still in progress"}, status=400)
        status, body, headers = made.get("error") or self.error or (200, self.output, {})
        headers = {"x-fal-request-id": request.match_info["id"], **headers}
        if status == 200 and self.units is not None:
            headers["x-fal-billable-units"] = self.units
        return web.json_response(body, status=status, headers=headers)

    async def cancel(self, request):
        made, refused = self._known(request)
        if refused is not None:
            return (
                refused if refused.status == 401 else web.json_response({"status": "NOT_FOUND"}, status=404)
            )
        if made["status"] == "COMPLETED":
            return web.json_response({"status": "ALREADY_COMPLETED"}, status=400)
        gone = {"detail": "The client has cancelled the request", "error_type": "client_cancelled"}
        made |= {"status": "COMPLETED", "error": (499, gone, {"x-fal-error-type": "client_cancelled"})}
        return web.json_response({"status": "CANCELLATION_REQUESTED"}, status=202)

    def _known(self, request):
        """Requests are known below their app, not below the whole endpoint."""
        made = self.requests.get(request.match_info["id"])
        if refused := self._unauthorized(request):
            return None, refused
        if made is None or made["app"] != request.match_info["app"]:
            return None, web.json_response({"detail": "Request not found"}, status=404)
        return made, None

    # ------------------------------------------------------------ storage, keys, webhooks

    async def initiate(self, request):
        if refused := self._unauthorized(request):
            return refused
        body = await request.json()
        if request.query.get("storage_type") != "gcs" or set(body) != {"file_name", "content_type"}:
            return web.json_response(FIELDS, status=422)
        name = f"{uuid.uuid4().hex}-{body['file_name']}"
        return web.json_response(
            {
                "upload_url": f"{self.url}/upload/{name}?signed=1",
                "file_url": f"https://v3.fal.media/files/{name}",
            }
        )

    async def put(self, request):
        self.files[request.match_info["name"]] = (request.headers["Content-Type"], await request.read())
        return web.Response()

    async def token(self, request):
        if refused := self._unauthorized(request):
            return refused
        if request.query.get("storage_type") != "fal-cdn-v3" or await request.json() != {}:
            return web.json_response(FIELDS, status=422)
        ends = datetime.fromtimestamp(time.time() + self.token_lives_s, UTC).isoformat()
        told = {
            "token": CDN_TOKEN,
            "token_type": "Bearer",
            "base_url": self.cdn or self.url,
            "expires_at": ends,
        }
        return web.json_response(told)

    async def begin(self, request):
        if refused := self._stranger(request):
            return refused
        upload_id, name = (
            f"{uuid.uuid4().hex}-x._~",
            f"{uuid.uuid4().hex}-{request.headers['X-Fal-File-Name']}",
        )
        self.parts[upload_id] = (name, request.headers["Content-Type"], {})
        return web.json_response({"access_url": f"{self.url}/files/fake/{name}", "uploadId": upload_id})

    async def part(self, request):
        if refused := self._stranger(request):
            return refused
        _, mime, parts = self.parts[request.match_info["id"]]
        assert request.headers["Content-Type"] == mime
        data = await request.read()
        parts[int(request.match_info["number"])] = data
        return web.Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    async def complete(self, request):
        if refused := self._stranger(request):
            return refused
        name, mime, parts = self.parts[request.match_info["id"]]
        told = {one["partNumber"]: one["etag"] for one in (await request.json())["parts"]}
        if told != {number: f'"{hashlib.md5(data).hexdigest()}"' for number, data in parts.items()}:
            return web.json_response({"detail": "The parts do not fit"}, status=400)
        self.files[name] = (mime, b"".join(parts[number] for number in sorted(parts)))
        return web.json_response({})

    def _stranger(self, request):
        """The CDN takes its own token, never the account's key."""
        if request.headers.get("Authorization") != f"Bearer {CDN_TOKEN}":
            return web.json_response({"detail": "Unauthorized"}, status=401)
        return None

    async def jwks(self, request):
        return web.json_response({"keys": self.keys})

    def webhook(self, body, request_id=None, user_id=ACCOUNT, at=None, private=None):
        """Return (headers, body) of a signed call; `body` is the news or raw bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request_id = request_id or (body["request_id"] if isinstance(body, dict) else "none")
        stamp = str(int(time.time() if at is None else at))
        message = f"{request_id}\n{user_id}\n{stamp}\n{hashlib.sha256(raw).hexdigest()}".encode()
        headers = {
            "x-fal-webhook-request-id": request_id,
            "x-fal-webhook-user-id": user_id,
            "x-fal-webhook-timestamp": stamp,
            "x-fal-webhook-signature": (private or self.private).sign(message).hex(),
        }
        return headers | {"content-type": "application/json"}, raw

    def news(self, request_id, **fields):
        """Return the body of a request's webhook."""
        ids = {"request_id": request_id, "gateway_request_id": request_id}
        return ids | {"status": "OK", "payload": self.output} | fields

    def _unauthorized(self, request):
        if request.headers.get("Authorization") != f"Key {KEY}":
            return web.json_response(
                {"detail": "Cannot access application. Authentication is required."}, status=401
            )
        return None
