"""What other plugins may use: `ctx.service(Webhooks)`, with `requires=("webhooks",)` in the manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from studio import WebhookNews


@dataclass(frozen=True, slots=True)
class HeardCall:
    """A verified call of a vendor. `account` is the path's second part, "" without one; `received_at` in UTC ms."""

    provider: str
    account: str
    news: WebhookNews
    body: bytes
    received_at: int


WebhookListener = Callable[[HeardCall], Awaitable[None]]
"""Called at least once for each call: `news.delivery_id` tells repetitions. What it raises has it called again."""


class Webhooks(Protocol):
    """Tells plugins of calls that are about no job, such as what became of a mail."""

    def join(self, provider: str, listener: WebhookListener) -> None:
        """Hear every call of a vendor from now on; call it in `lifespan`."""
        ...
