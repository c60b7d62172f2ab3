"""The bounded queue between whoever publishes and Centrifugo: in order, in batches, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from studio import StudioError
from studio_centrifugo.client import UNREADABLE, code_of, told
from studio_centrifugo.models import TEMPORARY, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

    from studio_centrifugo.client import CentrifugoApi

BATCH, BATCH_BYTES, MESSAGE_BYTES, QUEUE_BYTES = 100, 500_000, 250_000, 16_000_000
PAUSE_S, PAUSE_CAP_S = 0.25, 5.0


class Sender:
    """Queues up to `limit` messages. A task lives only while there is something to send."""

    def __init__(self, api: CentrifugoApi, log: FilteringBoundLogger, limit: int, *, debug: bool) -> None:
        self.sent = self.dropped = self.refused = 0
        """`dropped`: they were too many, or older than they may get; `refused`: Centrifugo said no."""
        self.trouble: str | None = None
        """Why nothing gets through now."""
        self._api, self._log, self._limit, self._debug = api, log, limit, debug
        self._queue: deque[Outgoing] = deque()
        self._bytes = self._alone = self._flying = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """How many messages wait, those that are just being sent too."""
        return len(self._queue) + self._flying

    def put(self, message: Outgoing) -> None:
        """Queue a message; the oldest ones give way. Raises ValueError for one that is larger than 250 kB."""
        if len(message.data) > MESSAGE_BYTES:
            raise ValueError(f"a message may have {MESSAGE_BYTES} bytes, this one has {len(message.data)}")
        while self._queue and (
            len(self._queue) >= self._limit or self._bytes + len(message.data) > QUEUE_BYTES
        ):
            self._take()
            self.dropped += 1
        self._queue.append(message)
        self._bytes += len(message.data)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="centrifugo:sender")

    async def finish(self, timeout_s: float) -> None:
        """Send what is queued, for so long; what is left then is dropped."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=timeout_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.dropped += len(self._queue)
        self._queue.clear()
        self._bytes = 0

    async def _run(self) -> None:
        pause = PAUSE_S
        while batch := self._batch():
            again: list[Outgoing] = batch
            try:
                replies = await self._api.batch([message.command() for message in batch])
                again = self._settle(batch, replies)
            except StudioError as error:
                if error.code != UNREADABLE:
                    self._tell(error)
                elif len(batch) > 1:
                    self._alone = len(batch)  # there is one among them: each goes for itself
                    continue
                else:
                    self._refuse(batch[0], error.detail)
                    again = []
            finally:
                self._put_back(again)
            if again:
                await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_CAP_S) if again else PAUSE_S

    def _batch(self) -> list[Outgoing]:
        """Take what goes together into one call, and drop what is too old for anybody."""
        now, batch, size = asyncio.get_running_loop().time(), list[Outgoing](), 0
        most = 1 if self._alone else BATCH
        while self._queue and len(batch) < most and size < BATCH_BYTES:
            message = self._take()
            if message.until < now:
                self.dropped += 1
                continue
            batch.append(message)
            size += len(message.data)
        self._alone, self._flying = max(0, self._alone - 1), len(batch)
        return batch

    def _take(self) -> Outgoing:
        message = self._queue.popleft()
        self._bytes -= len(message.data)
        return message

    def _put_back(self, messages: list[Outgoing]) -> None:
        self._flying = 0
        self._queue.extendleft(reversed(messages))
        self._bytes += sum(len(message.data) for message in messages)
        while len(self._queue) > self._limit:
            self._take()
            self.dropped += 1

    def _settle(self, batch: list[Outgoing], replies: list[dict[str, Any]]) -> list[Outgoing]:
        """Count what went well and return what is to be sent again."""
        again = []
        for message, reply in zip(batch, replies, strict=True):
            if later := tuple(self._failed(message, message.errors(reply))):
                again.append(replace(message, targets=later))
            elif self._debug:
                self._log.info("centrifugo_sent", topic=message.topic, targets=message.targets)
        if self.trouble and not again:
            self._log.info("centrifugo_is_back", dropped=self.dropped)
            self.trouble = None
        return again

    def _failed(self, message: Outgoing, errors: dict[str, Any]) -> Iterator[str]:
        """Yield the targets that may go well later."""
        for target in message.targets:
            if (error := errors.get(target)) is None:
                self.sent += 1
            elif code_of(error) in TEMPORARY:
                self.trouble = told(error)
                yield target
            else:
                self._refuse(replace(message, targets=(target,)), told(error))

    def _refuse(self, message: Outgoing, why: str) -> None:
        self.refused += 1
        self._log.warning("centrifugo_refused", targets=message.targets, topic=message.topic, error=why)

    def _tell(self, error: StudioError) -> None:
        """Say once per outage that nothing gets through."""
        if self.trouble is None:
            self._log.warning("centrifugo_is_away", code=error.code, error=error.detail, queued=self.queued)
        self.trouble = error.detail
