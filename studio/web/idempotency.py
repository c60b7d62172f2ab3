"""`Idempotency-Key`: a write sent again with the same key gets the first answer and has no second effect.

What becomes of a key, and why:
- An answer is kept for 24 h with its body.
- A refusal (a StudioError, which says that nothing was done) frees the key: after a top-up or a repair the
  same request must run.
- An unknown outcome (an unexpected error, a deadline, outcome_unknown) is kept as 502 outcome_unknown. Stripe
  keeps 500s for the same reason: running again could pay twice, and only the user can look what is there.
- A dead process leaves a claim without an answer; once stale, it may run again with the same `Request.once`.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from studio.database.contract import Collection, Index, Repository
from studio.errors import (
    BadRequestError,
    ConflictError,
    DatabaseUnavailableError,
    IdempotencyError,
    OutcomeUnknownError,
    ProviderError,
    StudioError,
)
from studio.model import Doc, new_id, now_ms
from studio.web.problem import problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from studio.web.route import Request, Route

KEY_HEADER = "Idempotency-Key"
LONGEST_KEY = 255
IDEMPOTENCY_COLLECTION = Collection("idempotency_keys", indexes=(Index((("expires_at", 1),), ttl_s=0),))
"""The `_id` is a hash of who, what and key, so that its own unique index decides a race."""
STALE_S = 60.0
_UNKNOWN = (500, 502, 504)
_KEPT_HEADERS = ("Content-Type", "Location", "ETag", "Cache-Control")
_LARGEST_ANSWER = 1_048_576


async def run_once(
    request: Request, route: Route, data: bytes, run: Callable[[], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Run the request or answer it from what its key did before.

    Raises BadRequestError for a malformed key, IdempotencyError for a key that was used with another request
    (`idempotency_key_reused`) or whose first request still runs (`idempotency_in_progress`).
    """
    repository = request.ctx.database[IDEMPOTENCY_COLLECTION.name]
    claim = await _claim(repository, _identity(request, route), _digest(request, data), route)
    if "status" in claim:
        return web.Response(
            status=claim["status"],
            body=claim["body"],
            headers={**claim["headers"], "Idempotent-Replay": "true"},
        )
    request.once = claim["once"]
    unknown = OutcomeUnknownError(
        "The first request with this key broke off; look whether its effect is there."
    )
    answer: web.StreamResponse | None = problem(unknown, request.id)
    try:
        answer = response = await run()
    except (StudioError, web.HTTPException) as error:
        if error.status not in _UNKNOWN or (isinstance(error, ProviderError) and error.retryable):
            answer = None
        raise
    finally:
        await _settle(repository, claim, answer)
    return response


def _identity(request: Request, route: Route) -> str:
    raw, key = request.raw, request.raw.headers[KEY_HEADER]
    if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise BadRequestError("Idempotency-Key must be 1 to 255 printable ASCII characters.")
    actor = request._actor  # noqa: SLF001 - the public property raises when nobody is signed in
    who = actor.user_id if actor else f"anon:{raw.remote}"
    return hashlib.sha256(f"{who}\n{raw.method}\n{route.path}\n{raw.path}\n{key}".encode()).hexdigest()


def _digest(request: Request, data: bytes) -> str:
    """Hash what is asked; of an upload, which is not read here, only the length."""
    raw = request.raw
    return hashlib.sha256(
        f"{raw.query_string}\n".encode() + (data or b"%d" % (raw.content_length or 0))
    ).hexdigest()


async def _claim(repository: Repository, identity: str, digest: str, route: Route) -> Doc:
    """Return our claim or a finished one; `until` (ms) is when a claim is stale, and its fencing token."""
    now = now_ms()
    until = now + int(1000 * max(STALE_S, 2 * (route.deadline_s or 0)))
    fresh = {"_id": identity, "digest": digest, "until": until, "once": new_id()}
    try:
        return await repository.insert({**fresh, "expires_at": datetime.now(UTC) + timedelta(hours=24)})
    except ConflictError:
        found = await repository.get(identity)
    if found and found["digest"] != digest:
        raise IdempotencyError("This Idempotency-Key was used with another request; take a new key.")
    if found and "status" in found:
        return found
    if found and found["until"] <= now:
        where = {"_id": identity, "until": found["until"]}
        if found := await repository.find_and_update(where, {"$set": {"until": until}}):
            return found
    raise IdempotencyError("The first request still runs.", code="idempotency_in_progress", retry_after=1)


async def _settle(repository: Repository, claim: Doc, answer: web.StreamResponse | None) -> None:
    """Keep the answer, or free the key when there is none to keep (a refusal, a stream, a huge body)."""
    where = {"_id": claim["_id"], "until": claim["until"]}
    body = (answer.body or b"") if isinstance(answer, web.Response) else None
    with suppress(DatabaseUnavailableError):  # then the claim goes stale, and `once` guards a second run
        if answer is None or not isinstance(body, bytes) or len(body) > _LARGEST_ANSWER:
            await repository.delete(where)
            return
        headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
        kept = {"status": answer.status, "body": body, "headers": headers}
        await repository.update(where, {"$set": kept})
