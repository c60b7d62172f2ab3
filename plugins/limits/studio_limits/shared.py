"""Exact moving windows that all processes share in Redis; a stricter local one while Redis is away."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from studio_limits.window import Window

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.strategies import MovingWindowRateLimiter

    from studio import PluginContext
    from studio_limits.settings import Rate

SOCKET_S, CALL_S, PAUSE_S = 0.5, 0.6, 5.0
"""One step on the wire; one call; how long Redis is left alone after a call that failed."""
AWAY = (RedisError, OSError, TimeoutError)


class SharedWindows:
    """Asks the library `limits`; each caller and rate has one moving window for all processes."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._pool: BlockingConnectionPool | None = None
        self._limiter: MovingWindowRateLimiter | None = None
        self._items: dict[Rate, RateLimitItem] = {}
        self._local: dict[Rate, Window] = {}
        self._away_until = 0.0

    async def connect(self) -> None:
        """Make the client; the first call connects. The import takes 0.1 s, so it has a thread."""
        if not self._ctx.cache.url:
            return
        self._limiter = await asyncio.to_thread(self._connected, self._ctx.cache.url)

    def _connected(self, url: str) -> MovingWindowRateLimiter:
        from limits.aio.storage import RedisStorage  # noqa: PLC0415 - see `connect`
        from limits.aio.strategies import MovingWindowRateLimiter  # noqa: PLC0415 - see `connect`

        limits: dict[str, Any] = {"timeout": SOCKET_S, "socket_timeout": SOCKET_S}
        limits |= {"socket_connect_timeout": SOCKET_S, "retry": Retry(NoBackoff(), 0), "protocol": 2}
        self._pool = BlockingConnectionPool.from_url(url, **limits)
        options: dict[str, Any] = {"connection_pool": self._pool}
        prefix = f"{self._ctx.config.cache.prefix}limits"
        storage = RedisStorage(f"async+{url}", implementation="redispy", key_prefix=prefix, **options)
        return MovingWindowRateLimiter(storage)

    async def close(self) -> None:
        """Close the connections."""
        self._limiter = None
        if self._pool is not None:
            await self._pool.disconnect()

    async def hit(self, rate: Rate, caller: str) -> float:
        """Count a call and return 0, or return after how many seconds to try again; never raises."""
        if self._limiter is not None and time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(CALL_S):
                    return await self._ask(self._limiter, rate, caller)
            except AWAY as error:
                self._away_until = time.monotonic() + PAUSE_S
                self._ctx.log.warning("limits_are_local", error=repr(error))
        return self._alone(rate).hit(caller)

    async def _ask(self, limiter: MovingWindowRateLimiter, rate: Rate, caller: str) -> float:
        item = self._items[rate] if rate in self._items else self._item(rate)
        if await limiter.hit(item, caller):
            return 0.0
        stats = await limiter.get_window_stats(item, caller)
        return max(0.001, stats.reset_time - time.time())

    def _item(self, rate: Rate) -> RateLimitItem:
        from limits import RateLimitItemPerSecond  # noqa: PLC0415 - see `connect`

        self._items[rate] = RateLimitItemPerSecond(rate.calls, rate.seconds)
        return self._items[rate]

    def _alone(self, rate: Rate) -> Window:
        """Return this process's own window: half the rate where a Redis should be, all of it without one."""
        if rate not in self._local:
            self._local[rate] = Window(rate.half if self._ctx.cache.url else rate)
        return self._local[rate]
