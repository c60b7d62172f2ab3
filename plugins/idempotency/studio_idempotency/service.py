"""`Idempotency-Key`: a write sent again with the same key gets the first answer and has no second effect.

What becomes of a key, and why:
- An answer is kept for 24 h with its body. Of one that cannot be kept (a stream, a huge body) it is kept that there
  was one, as an unknown outcome: to run again could pay twice.
- A refusal (a StudioError, which says that nothing was done) frees the key: after a top-up or a repair the
  same request must run.
- An unknown outcome (an unexpected error, a deadline, outcome_unknown) is kept as 502 outcome_unknown. Stripe
  keeps 500s for the same reason: running again could pay twice, and only the user can look what is there.
- A database that went away in the middle may have kept the effect: the key is free, for the same `Request.once`.
- A dead process leaves a claim without an answer and without a heartbeat. Who asks again and sees no beat for
  `STALE_S` by its own clock (no two clocks are compared), and none in the next two beats, runs the request, with
  the same `Request.once`. The two beats are for a database that was away from the owner too.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from studio import (
    BadRequestError,
    Collection,
    ConflictError,
    DatabaseUnavailableError,
    IdempotencyError,
    Index,
    OutcomeUnknownError,
    ProviderError,
    StudioError,
    UnauthenticatedError,
    new_id,
    problem,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from studio import Doc, Repository, Request, Route

KEY_HEADER = "Idempotency-Key"
LONGEST_KEY = 255
KEYS = Collection("idempotency_keys", indexes=(Index((("expires_at", 1),), ttl_s=0),))
"""The `_id` is a hash of who, what and key, so that its own unique index decides a race."""
BEAT_S, STALE_S = 1.0, 5.0
"""How often a running request says so; after so long without a beat its process counts as dead."""
FREE = -1
"""The `beat` of a claim that nobody runs any more."""
WATCHED = 10_000
_UNKNOWN = (500, 502, 504)
_KEPT_HEADERS = ("Content-Type", "Location", "ETag", "Cache-Control")
_LARGEST_ANSWER = 1_048_576
_LOOK = "The answer to the first request with this key is not there; look whether its effect is."


async def run_once(
    request: Request, route: Route, data: bytes, run: Callable[[], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Run the request or answer it from what its key did before.

    Raises BadRequestError for a malformed key, IdempotencyError for a key that was used with another request
    (`idempotency_key_reused`) or whose first request still runs (`idempotency_in_progress`).
    """
    repository = request.ctx.database[KEYS.name]
    claim = await _claim(repository, _identity(request, route), _digest(request, data))
    if "status" in claim:
        return web.Response(
            status=claim["status"],
            body=claim["body"],
            headers={**claim["headers"], "Idempotent-Replay": "true"},
        )
    request.once = claim["once"]
    unknown = problem(OutcomeUnknownError(_LOOK), request.id)
    answer: web.Response | None = unknown
    with _beating(repository, claim):
        try:
            response = await run()
            answer = _keepable(response) or unknown
        except (web.HTTPSuccessful, web.HTTPRedirection) as done:
            answer = _keepable(done) or unknown
            raise
        except DatabaseUnavailableError:
            answer = None
            await _release(repository, claim)
            raise
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
    who = f"anon:{raw.remote}"
    with suppress(UnauthenticatedError):  # a public route: nobody is signed in
        who = request.actor.user_id
    return hashlib.sha256(f"{who}\n{raw.method}\n{route.path}\n{raw.path}\n{key}".encode()).hexdigest()


def _digest(request: Request, data: bytes) -> str:
    """Hash what is asked; of an upload, which is not read here, only the length."""
    raw = request.raw
    return hashlib.sha256(
        f"{raw.query_string}\n".encode() + (data or b"%d" % (raw.content_length or 0))
    ).hexdigest()


class _Watch:
    """When this process first saw the beat that an unfinished claim still has."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def stale(self, owner: str, beat: int) -> bool:
        """Return whether the claim's owner is gone, as far as can be told by now."""
        before, since = self._seen.get(owner, (beat, self.clock()))
        since = since if before == beat else self.clock()
        self._seen[owner] = beat, since
        while len(self._seen) > WATCHED:
            self._seen.popitem(last=False)
        return beat == FREE or self.clock() - since >= STALE_S


_watch = _Watch()


async def _claim(repository: Repository, identity: str, digest: str) -> Doc:
    """Return our claim or a finished one; `owner` is its fencing token."""
    mine = {"owner": new_id(), "beat": 0}
    fresh = {"_id": identity, "digest": digest, "once": new_id(), **mine}
    try:
        return await repository.insert({**fresh, "expires_at": datetime.now(UTC) + timedelta(hours=24)})
    except ConflictError:
        found = await repository.get(identity)
    if found and found["digest"] != digest:
        raise IdempotencyError("This Idempotency-Key was used with another request; take a new key.")
    if found and "status" in found:
        return found
    if found and _watch.stale(found.get("owner", identity), found.get("beat", 0)):
        if found.get("beat") != FREE:
            await asyncio.sleep(2 * BEAT_S)
        where = {"_id": identity, "owner": found.get("owner"), "beat": found.get("beat")}
        if found := await repository.find_and_update(where, {"$set": mine}):
            return found
    raise IdempotencyError("The first request still runs.", code="idempotency_in_progress", retry_after=1)


@contextmanager
def _beating(repository: Repository, claim: Doc) -> Iterator[None]:
    """Keep the claim alive for the length of a block; most are over before the first beat."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    begin = loop.call_later(BEAT_S, lambda: tasks.append(loop.create_task(_beat(repository, claim))))
    try:
        yield
    finally:
        begin.cancel()
        for task in tasks:
            task.cancel()


async def _beat(repository: Repository, claim: Doc) -> None:
    """Beat until cancelled, or the claim is settled: Python 3.11 loses a cancellation that falls into the driver."""
    mine, ours = {"_id": claim["_id"], "owner": claim["owner"], "status": {"$exists": False}}, 1
    while ours:
        with suppress(DatabaseUnavailableError):  # who might take over asks the same database
            ours = await repository.update(mine, {"$inc": {"beat": 1}})
        await asyncio.sleep(BEAT_S)


async def _release(repository: Repository, claim: Doc) -> None:
    """Let the next request with this key run at once, as the same one: what this one did is not known."""
    with suppress(DatabaseUnavailableError):  # then it goes stale
        where = {"_id": claim["_id"], "owner": claim["owner"]}
        await repository.update(where, {"$set": {"owner": new_id(), "beat": FREE}})
    claim["owner"] = ""  # whatever became of that, it is ours no more


def _keepable(answer: web.StreamResponse) -> web.Response | None:
    """Return the answer if all of it is at hand and small enough, else None."""
    if not isinstance(answer, web.Response):
        return None
    body = answer.body or b""
    return answer if isinstance(body, bytes) and len(body) <= _LARGEST_ANSWER else None


async def _settle(repository: Repository, claim: Doc, answer: web.Response | None) -> None:
    """Keep the answer, or free the key when the request was refused."""
    where = {"_id": claim["_id"], "owner": claim["owner"]}
    with suppress(DatabaseUnavailableError):  # then the claim goes stale, and `once` guards a second run
        if answer is None:
            await repository.delete(where)
            return
        headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
        kept = {"status": answer.status, "body": answer.body or b"", "headers": headers}
        await repository.update(where, {"$set": kept})
