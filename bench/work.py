"""The work that every server under test does, and the data it does it on.

Sizes are bytes of compact JSON: one document 2,048, one POST body 1,024 (12 fields), one list item 500, 100
of them in a list (50,129). All text is ASCII, so that escaping makes no difference. There is no randomness:
two runs carry the same bytes except for the ids and times that a POST makes.

Rules for a server: under /bench/documents every request is authenticated and checked for its permission;
every response is serialised anew, nothing that was serialised for one request is sent for another. The
targets of the POST and the list hold without authentication (/bench/open), where a token cache cannot
flatter the platform; the same two are measured authenticated as well. `verify.py` checks the responses and
the refusals before any load.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]

SECRET = "bench-only-secret-that-is-long-enough-for-hs256"
ISSUER = "studio-bench"
ALGORITHM = "HS256"
REQUIRED_CLAIMS = ("exp", "iat", "iss", "sub", "sid")
TOKEN_LIFE_S = 3600

CONNECTIONS = 16
READ, WRITE = "documents:read", "documents:write"
USERS = tuple(f"user-{number:04d}" for number in range(CONNECTIONS))
OUTSIDER = "user-none"
ANYBODY = "anybody"
ROLES = dict.fromkeys(USERS, "editor") | {OUTSIDER: "guest"}
PERMISSIONS = {"editor": frozenset({READ, WRITE}), "guest": frozenset[str]()}

DOCUMENT_BYTES, BODY_BYTES, ITEM_BYTES = 2048, 1024, 500
DOCUMENT_COUNT = LIST_COUNT = 100
KEPT_POSTS = 1000
OPEN = "/bench/open"
EPOCH_MS = 1_790_000_000_000

WORDS = (
    "the lamp in the harbour office burns all night while Mara counts boats that never come home and the fog "
    "keeps its own slow ledger of names she is sure nobody else has read "
)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def text(length: int, start: int = 0) -> str:
    """Plain words, exactly `length` characters, beginning at another word for another `start`."""
    words = itertools.islice(itertools.cycle(WORDS.split()), start % 29, start % 29 + length)
    return " ".join(words)[:length].rstrip().ljust(length, ".")


def padded(document: Document, field: str, size: int, start: int) -> Document:
    """The document with `field` filled so that its compact JSON has exactly `size` bytes."""
    missing = size - len(compact(document | {field: ""}))
    return document | {field: text(missing, start)}


def document_id(number: int) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"document-{number}").hex


def scene(number: int) -> Document:
    return {
        "number": number,
        "heading": f"INT. HARBOUR OFFICE {number} - NIGHT",
        "summary": text(96, number),
        "durationMs": 4000 + 250 * number,
        "characters": ["MARA", "THE PILOT"],
    }


def header(number: int) -> Document:
    """The fields that a document and a list item share."""
    return {
        "id": document_id(number),
        "ownerId": USERS[number % len(USERS)],
        "projectId": document_id(10_000 + number % 7),
        "title": f"The Harbour Ledger {number:03d}",
        "genre": "drama",
        "status": "draft",
        "language": "en-GB",
        "version": 10 + number % 90,
        "createdAtMs": EPOCH_MS + 1000 * number,
        "updatedAtMs": EPOCH_MS + 2000 * number,
    }


def make_document(number: int) -> Document:
    extra = {
        "tags": ["sea", "night", "loss", "work", "fog"],
        "scenes": [scene(index) for index in range(1, 7)],
    }
    return padded(header(number) | extra, "synopsis", DOCUMENT_BYTES, number)


def make_item(number: int) -> Document:
    return padded(header(number) | {"sceneCount": 6}, "logline", ITEM_BYTES, number)


def make_body() -> Document:
    """A POST body of 12 fields."""
    body: Document = {
        "title": "The Harbour Ledger",
        "logline": text(120, 3),
        "genre": "drama",
        "status": "draft",
        "language": "en-GB",
        "projectId": document_id(10_001),
        "aspectRatio": "16:9",
        "targetDurationMs": 90_000,
        "isPublic": False,
        "tags": ["sea", "night", "loss", "work", "fog"],
        "characters": [{"name": "MARA", "role": "lead"}, {"name": "THE PILOT", "role": "support"}],
    }
    return padded(body, "synopsis", BODY_BYTES, 11)


class Store:
    """The warm in-memory store: plain dictionaries, as a database driver would hand them out.

    Posted documents are kept up to `KEPT_POSTS`, the oldest leaves first, so that a faster server does not
    pay for its speed with a bigger heap.
    """

    def __init__(self) -> None:
        self.documents = {document_id(number): make_document(number) for number in range(DOCUMENT_COUNT)}
        self.items = [make_item(number) for number in range(LIST_COUNT)]
        self.posted: dict[str, Document] = {}

    def get(self, key: str) -> Document | None:
        return self.documents.get(key)

    def page(self) -> Document:
        return {"items": self.items, "nextCursor": None}

    def add(self, body: Document, owner: str) -> Document:
        """Store a POST body; the result carries `id`, `ownerId`, `createdAtMs` and the body's fields."""
        key = uuid.uuid4().hex
        stored = {"id": key, "ownerId": owner, "createdAtMs": time.time_ns() // 1_000_000} | body
        self.posted[key] = stored
        if len(self.posted) > KEPT_POSTS:
            del self.posted[next(iter(self.posted))]
        return stored


def make_token(user: str, life_s: int = TOKEN_LIFE_S, secret: str = SECRET) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": user, "sid": f"session-{user}", "iat": now, "exp": now + life_s}
    return jwt.encode(claims, secret, ALGORITHM)


def renewed(token: str, secret: str) -> Iterator[str]:
    """Yield tokens of the same session without end, each as if it had just been issued: another `jti`, signed anew."""
    head, payload, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    start = time.time_ns()
    for number in itertools.count():
        body = f"{head}.{_encoded(compact(claims | {'jti': f'{start}-{number}'}))}"
        yield f"{body}.{_encoded(hmac.digest(secret.encode(), body.encode(), 'sha256'))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass(frozen=True)
class Scenario:
    """One kind of request; `target` is requests per second as a multiple of bare aiohttp."""

    key: str
    title: str
    method: str
    path: str
    status: int
    target: float | None
    authenticated: bool = True
    compared: bool = True
    renews: bool = False
    """Every request brings a token that the server has not seen."""

    def paths(self) -> list[str]:
        """Concrete paths a connection cycles through: a document read meets every document."""
        if "{document_id}" not in self.path:
            return [self.path]
        return [self.path.replace("{document_id}", document_id(number)) for number in range(DOCUMENT_COUNT)]

    def body(self) -> bytes:
        return compact(make_body()) if self.method == "POST" else b""

    def requests(self, port: int, token: str, secret: str) -> Iterator[bytes]:
        """Complete HTTP/1.1 requests of one signed-in user without end, one path after the other."""
        if not self.renews:
            return itertools.cycle(self._with(port, token, self.paths()))
        fresh = zip(itertools.cycle(self.paths()), renewed(token, secret), strict=False)
        return (self._with(port, other, [path])[0] for path, other in fresh)

    def _with(self, port: int, token: str, paths: list[str]) -> list[bytes]:
        body = self.body()
        lines = [f"Host: 127.0.0.1:{port}", "Accept: application/json"]
        if self.authenticated:
            lines.append(f"Authorization: Bearer {token}")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        tail = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
        return [f"{self.method} {path} HTTP/1.1\r\n".encode() + tail for path in paths]


SCENARIOS = (
    Scenario("health", "(a) GET /healthz", "GET", "/healthz", 200, 1.1, authenticated=False),
    Scenario(
        "read", "(b) authenticated read, 2 KB, memory", "GET", "/bench/documents/{document_id}", 200, 3.5
    ),
    Scenario(
        "read_new",
        "(b+) the same, every token new",
        "GET",
        "/bench/documents/{document_id}",
        200,
        1.5,
        renews=True,
    ),
    Scenario("post", "(c) validated POST, 1 KB", "POST", f"{OPEN}/documents", 201, 1.2, authenticated=False),
    Scenario(
        "list", "(d) list of 100 documents, 50 KB", "GET", f"{OPEN}/documents", 200, 4, authenticated=False
    ),
    Scenario("post_auth", "(c+) the POST, authenticated", "POST", "/bench/documents", 201, None),
    Scenario("list_auth", "(d+) the list, authenticated", "GET", "/bench/documents", 200, None),
    Scenario(
        "stored",
        "(b) the same from the embedded database",
        "GET",
        "/bench/stored/{document_id}",
        200,
        None,
        compared=False,
    ),
)
