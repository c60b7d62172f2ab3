"""What a process believes without asking: which tokens it has verified, and who a session or a key belongs to."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import now_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from studio import Actor
    from studio_auth.tokens import Claims, Tokens

BELIEVED_S = 0.8
"""How long an answer of the database is believed, from the moment it was asked: a revocation in another process
bites within a second."""
RENEW_S = 0.5
"""An answer older than this is asked for again while it still serves, so that no request waits for it."""
SIZE = 20_000


class VerifiedTokens:
    """Remembers the claims of good access tokens under their SHA-256, never past their `exp`; `clock` in UTC ms.

    It only spares the arithmetic: whether the session still lives is asked of `ActorMemory` each time.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], int] = now_ms) -> None:
        self._tokens = tokens
        self._clock = clock
        self._claims: OrderedDict[bytes, Claims] = OrderedDict()

    def __len__(self) -> int:
        return len(self._claims)

    def read(self, token: str) -> Claims | None:
        """Return the claims of a good token, None for anything else."""
        if not token.isascii():
            return None
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._claims.get(digest)
        if claims is not None and self._clock() < claims.expires_ms:
            return claims
        claims = self._tokens.read(token)
        if claims is None:
            self._claims.pop(digest, None)
        elif self._clock() < claims.expires_ms:  # one that only the leeway keeps is read anew each time
            self._claims[digest] = claims
            if len(self._claims) > SIZE:
                self._claims.popitem(last=False)
        return claims

    def forget(self, token: str) -> None:
        """Drop a token whose session has ended."""
        self._claims.pop(hashlib.sha256(token.encode()).digest(), None)


@dataclass(frozen=True, slots=True)
class _Belief:
    actor: Actor
    asked: float


class ActorMemory:
    """Who is behind a session id or a key id; `ask` looks in the database, once for all who wait."""

    def __init__(self, ask: Callable[[str], Awaitable[Actor | None]]) -> None:
        self._ask = ask
        self._beliefs: OrderedDict[str, _Belief] = OrderedDict()
        self._asking: dict[str, tuple[float, asyncio.Task[Actor | None]]] = {}
        self._tasks: set[asyncio.Task[Actor | None]] = set()

    def __len__(self) -> int:
        return len(self._beliefs)

    def recall(self, key: str) -> Actor | None:
        """Return what is believed now; None means: `ask`."""
        belief = self._beliefs.get(key)
        if belief is None:
            return None
        age = time.monotonic() - belief.asked
        if age >= BELIEVED_S:
            return None
        if age >= RENEW_S and key not in self._asking:
            self._begin(key)
        return belief.actor

    async def ask(self, key: str) -> Actor | None:
        """Ask the database; joins a question that is under way, unless that is too old to be believed."""
        asked, task = self._asking.get(key) or self._begin(key)
        if time.monotonic() - asked >= BELIEVED_S:
            _, task = self._begin(key)
        return await asyncio.shield(task)  # a caller that goes away takes the answer from nobody else

    def forget(self, key: str) -> None:
        """Believe nothing of this key, not even what was asked before now and is still to come."""
        self._beliefs.pop(key, None)
        self._asking.pop(key, None)

    def forget_user(self, user_id: str) -> None:
        """Forget all sessions and keys of a user."""
        for key in [key for key, belief in self._beliefs.items() if belief.actor.user_id == user_id]:
            del self._beliefs[key]
        self._asking.clear()  # whose they are is not known yet

    def clear(self) -> None:
        """Forget everything."""
        self._beliefs.clear()
        self._asking.clear()

    async def close(self) -> None:
        """End the questions under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: str) -> tuple[float, asyncio.Task[Actor | None]]:
        asked = time.monotonic()
        task = asyncio.get_running_loop().create_task(self._run(key, asked), name="auth:ask")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        self._asking[key] = (asked, task)
        return asked, task

    def _ended(self, task: asyncio.Task[Actor | None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits gets it; a renewal that fails leaves the next request to ask

    async def _run(self, key: str, asked: float) -> Actor | None:
        mine = asyncio.current_task()
        try:
            actor = await self._ask(key)
        finally:
            wanted = key in self._asking and self._asking[key][1] is mine
            if wanted:
                del self._asking[key]
        if wanted:
            self._remember(key, actor, asked)
        return actor

    def _remember(self, key: str, actor: Actor | None, asked: float) -> None:
        self._beliefs.pop(key, None)
        if actor is None:
            return
        self._beliefs[key] = _Belief(actor, asked)
        if len(self._beliefs) > SIZE:
            self._beliefs.popitem(last=False)
