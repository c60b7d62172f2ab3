"""A bounded queue in front of one address: whoever puts never waits, what is too much is sampled and counted."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from studio import now_ms
from studio_newrelic.client import Said

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio_newrelic.client import Collector

BATCH, BATCH_BYTES, RECORD_BYTES, QUEUE_BYTES = 500, 900_000, 200_000, 8_000_000
"""A POST may have 1,000,000 bytes, compressed; ours has less before it is compressed."""
AWAY_S, AWAY_CAP_S, LOWEST = 1.0, 60.0, 1 / 64


class Forwarder:
    """Sends what is put every `flush_s`. `wrap` makes the document of a batch; `clock` is UTC ms.

    When the queue is full, every second record gives way and of what comes only half is taken, then a quarter …;
    each batch that goes out doubles that again.
    """

    def __init__(
        self,
        collector: Collector,
        wrap: Callable[[list[Any]], Any],
        limit: int,
        flush_s: float,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.sent = self.dropped = 0
        self.rate = 1.0
        """How much of what comes is taken."""
        self._collector, self._wrap, self._limit, self._flush_s = collector, wrap, limit, flush_s
        self._clock = clock
        self._queue: deque[bytes] = deque()
        self._bytes, self._flying, self._share = 0, 0, 0.0
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """How many records wait, those that are just being sent too."""
        return len(self._queue) + self._flying

    def put(self, record: Any) -> None:
        """Queue a record, or count it as dropped."""
        self._share += self.rate
        encoded = orjson.dumps(record, default=str)
        if self._share < 1 or len(encoded) > RECORD_BYTES:
            self.dropped += 1
            return
        self._share -= 1
        if len(self._queue) >= self._limit or self._bytes + len(encoded) > QUEUE_BYTES:
            self._halve()
        self._queue.append(encoded)
        self._bytes += len(encoded)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="newrelic:forwarder")

    async def finish(self, timeout_s: float) -> None:
        """Send what is queued at once, for so long; what is left is dropped."""
        self._hurry.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=timeout_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.dropped += len(self._queue)
        self._queue.clear()
        self._bytes = 0

    async def _run(self) -> None:
        await self._pause(self._flush_s)
        away_s, most = AWAY_S, BATCH
        while self._queue:
            batch = self._batch(most)
            said = Said.AWAY
            try:
                said = await self._collector.post(self._wrap([orjson.Fragment(record) for record in batch]))
            finally:
                self._settle(batch, said, most)
            most = max(1, len(batch) // 2) if said is Said.TOO_LARGE else BATCH
            if said is Said.AWAY:
                wait, away_s = away_s, min(away_s * 2, AWAY_CAP_S)
            else:
                away_s = AWAY_S
                wait = 60 - self._clock() / 1000 % 60 if said is Said.WAIT_A_MINUTE else 0.0
            if wait and not await self._pause(wait):
                return  # the stop does not wait for New Relic
            if not wait and said is not Said.TOO_LARGE and len(self._queue) < BATCH:
                await self._pause(self._flush_s)

    async def _pause(self, seconds: float) -> bool:
        """Wait; False when the stop has cut it short."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return True
        return False

    def _batch(self, most: int) -> list[bytes]:
        batch, size = list[bytes](), 0
        while self._queue and len(batch) < most and size + len(self._queue[0]) <= BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += len(batch[-1])
        self._bytes -= size
        self._flying = len(batch)
        return batch

    def _settle(self, batch: list[bytes], said: Said, most: int) -> None:
        """Count a batch, or put it back in front of the queue."""
        self._flying = 0
        if said is Said.TAKEN:
            self.sent += len(batch)
            self.rate = min(1.0, self.rate * 2)
        elif said in (Said.LOST, Said.REFUSED) or (said is Said.TOO_LARGE and most == 1):
            self.dropped += len(batch)
        else:
            room = max(0, self._limit - len(self._queue))
            self.dropped += len(batch) - len(batch[:room])
            self._queue.extendleft(reversed(batch[:room]))
            self._bytes += sum(map(len, batch[:room]))

    def _halve(self) -> None:
        kept = list(self._queue)[1::2]
        self.dropped += len(self._queue) - len(kept)
        self._queue = deque(kept)
        self._bytes = sum(map(len, kept))
        self.rate = max(LOWEST, self.rate / 2)
