"""Redis or Valkey as a cache: never the only copy of anything, so nothing here raises while it is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from studio.breaker import Breaker
from studio.errors import ConfigError
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")
SOCKET_S, CALL_S = 0.5, 0.6
"""One step on the wire; one call with all its steps."""
QUIET_S, RECONNECT_S = 2.0, 0.5
"""A subscription that hears nothing for so long asks whether the server is there; the pause after a no."""
AWAY = (RedisError, OSError, TimeoutError)
log = get_logger("studio.cache")


class CacheSettings(BaseModel):
    """The table `[cache]`. Without a URL the plugin that answers `cache_backend` may give one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr | None = None
    prefix: str = "studio:"


class Cache:
    """Keys, counters and channels under one prefix. While Redis is away: None or False, within 0.6 s.

    The first call connects to `url`; ConfigError for one of another kind. Without one nothing is kept.
    """

    def __init__(self, url: str | None = None, prefix: str = "studio:") -> None:
        self._prefix = prefix
        self._client: Redis | None = None
        self._breaker = Breaker()
        self._up = True
        self.url = url
        """The server's address, for engines that bring their own client."""
        if not url:
            return
        limits = {"timeout": SOCKET_S, "socket_timeout": SOCKET_S, "socket_connect_timeout": SOCKET_S}
        options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "health_check_interval": 30, "protocol": 2}
        try:
            self._client = Redis.from_pool(BlockingConnectionPool.from_url(url, **limits, **options))
        except ValueError as error:
            raise ConfigError([f"cache.url cannot be read: {error}"]) from error

    async def close(self) -> None:
        """Close the connections; calls after it find nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def ping(self) -> bool:
        """Ask the server."""
        return bool(await self._call(lambda client: client.ping()))

    async def get(self, key: str) -> bytes | None:
        """Return the value."""
        value: bytes | None = await self._call(lambda client: client.get(self._prefix + key))
        return value

    async def set(self, key: str, value: bytes | str, ttl_s: float | None = None) -> bool:
        """Store the value, for ever or for `ttl_s`."""
        px = None if ttl_s is None else int(ttl_s * 1000)
        return bool(await self._call(lambda client: client.set(self._prefix + key, value, px=px)))

    async def delete(self, *keys: str) -> bool:
        """Return whether the server did it (whether or not a key was there)."""
        names = [self._prefix + key for key in keys]
        return bool(names) and await self._call(lambda client: client.delete(*names)) is not None

    async def incr(self, key: str, by: int = 1, ttl_s: float | None = None) -> int | None:
        """Add and return the sum; `ttl_s` counts from the first call, so that a window ends by itself."""

        def work(client: Redis) -> Awaitable[list[int]]:
            pipeline: Any = client.pipeline()
            pipeline.incrby(self._prefix + key, by)
            if ttl_s is not None:
                pipeline.pexpire(self._prefix + key, int(ttl_s * 1000), nx=True)
            answers: Awaitable[list[int]] = pipeline.execute()
            return answers

        answers = await self._call(work)
        return answers[0] if answers else None

    async def publish(self, channel: str, data: bytes | str) -> bool:
        """Return whether the server took the message."""
        return await self._call(lambda client: client.publish(self._prefix + channel, data)) is not None

    async def subscribe(self, channel: str, ready: Callable[[], None] = lambda: None) -> AsyncIterator[bytes]:
        """Yield what is published; calls `ready` at every (re)connection: what was sent in between is lost.

        Ends at once when no server is configured, and after `close()`.
        """
        while self._client is not None:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(self._prefix + channel)
                    while True:
                        message = await _next(pubsub)
                        if message["type"] == "subscribe":
                            self._breaker.success()  # it asks twice a second, a call's probe only every 5 s
                            self._note(None)
                            ready()
                        elif message["type"] == "message":
                            yield message["data"]
            except AWAY as error:
                self._note(error)
            await asyncio.sleep(RECONNECT_S)

    async def _call(self, work: Callable[[Redis], Awaitable[Any]]) -> Any:
        if self._client is None or not self._breaker.allow():
            return None
        try:
            async with asyncio.timeout(CALL_S):
                answer = await work(self._client)
        except AWAY as error:
            self._breaker.failure()
            self._note(error)
            return None
        self._breaker.success()
        self._note(None)
        return answer

    def _note(self, error: Exception | None) -> None:
        if self._up == (error is None):
            return
        self._up = error is None
        if error is None:
            log.info("cache_back")
        else:
            log.warning("cache_unavailable", error=repr(error))


async def _next(pubsub: Any) -> dict[str, Any]:
    for asked in (False, True):
        message: dict[str, Any] | None = await pubsub.get_message(timeout=QUIET_S)
        if message:
            return message
        if not asked:
            await pubsub.ping()
    raise ConnectionError("the subscription is silent, and does not answer a ping")
