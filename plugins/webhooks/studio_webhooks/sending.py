"""Sends a delivery: signed anew for each try, under the same id, with the same body."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from standardwebhooks.webhooks import Webhook

from studio import StudioError, now_ms
from studio_webhooks.addresses import host_of
from studio_webhooks.events import PROJECT_DELETED, TEST

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Mapping

    from studio import Doc, PluginContext
    from studio_webhooks.endpoints import EndpointService
    from studio_webhooks.settings import WebhooksSettings

    Change = Mapping[str, Any]

ANSWER_BYTES, ANSWER_S = 4_096, 1.0
"""So much of an answer is read, and so long, that a short one leaves its connection open for the next delivery.

It is kept nowhere: it could be another system's secret. The status has decided before.
"""
PIECE_BYTES = 131_072
"""The most that one piece of an answer may unpack to."""
ALSO_OFF = (TEST, PROJECT_DELETED)
"""What an endpoint that is off is told too: a test, and why its project tells it no more."""
FAILURES = range(400, 600)
RETRY_AFTER_CAP_S = 86_400.0


class Sender:
    """Handles due deliveries. `chance(low, high)` draws the jitter; `clock` is in UTC ms."""

    def __init__(
        self,
        ctx: PluginContext,
        settings: WebhooksSettings,
        endpoints: EndpointService,
        *,
        clock: Callable[[], int] = now_ms,
        chance: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._ctx, self._settings, self._endpoints = ctx, settings, endpoints
        self._clock, self._chance = clock, chance
        self._http = ctx.http.client(
            "webhooks", None, settings.timeout_s, PIECE_BYTES, allow_private=settings.private_hosts
        )

    async def handle(self, delivery: Doc) -> Change:
        """Try once; return how the delivery changes."""
        endpoint = await self._endpoints.find(delivery["endpoint_id"])
        if endpoint is None or not (endpoint["enabled"] or delivery["type"] in ALSO_OFF):
            return {"$set": {"state": "dead", "next_at": 0, "error": "This webhook is off."}}
        start = time.perf_counter()
        status, error, wait_s = await self._try(endpoint, delivery)
        seen = {"status": status, "duration_ms": round((time.perf_counter() - start) * 1000)}
        if not error:
            await self._endpoints.succeeded(endpoint)
            done = {"state": "delivered", "delivered_at": self._clock(), "next_at": 0}
            return {"$set": seen | done, "$unset": {"error": ""}}
        gone = status == HTTPStatus.GONE
        await self._endpoints.failed(endpoint, gone=gone)
        return {"$set": seen | {"error": error} | self._next(delivery, endpoint, wait_s, gone=gone)}

    async def _try(self, endpoint: Doc, delivery: Doc) -> tuple[int | None, str, float]:
        """Return (status, what went wrong, seconds to wait at least)."""
        headers = self.signed(endpoint, delivery["_id"], delivery["body"])
        status, after = None, ""
        try:
            async with self._http.stream(
                "POST", endpoint["url"], headers=headers, content=delivery["body"].encode(), returned=FAILURES
            ) as answer:
                status, after = answer.status, answer.headers.get("retry-after", "")
                await _skim(answer)
        except StudioError as error:
            if status is None:  # what goes wrong after the status changes nothing
                return None, error.detail, error.retry_after or 0.0
        finally:
            self._http.breaker.success()  # shared by all endpoints: each waits by its own schedule instead
        if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return status, "", 0.0
        wait_s = float(after) if after.isascii() and after.isdigit() else 0.0
        return status, f"It answered {status}.", min(wait_s, RETRY_AFTER_CAP_S)

    def signed(self, endpoint: Doc, message_id: str, body: str) -> dict[str, str]:
        """Return the headers of Standard Webhooks; after a rotation the old secret signs too, for a day."""
        now = self._clock()
        at = datetime.fromtimestamp(now / 1000, UTC)
        secrets = [endpoint["secret"]]
        if endpoint.get("old_until", 0) > now:
            secrets.append(endpoint["old_secret"])
        return {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body) for secret in secrets),
        }

    def _next(self, delivery: Doc, endpoint: Doc, wait_s: float, *, gone: bool) -> Doc:
        number, schedule = delivery["attempts"] - 1, self._settings.resend_s
        host, last = host_of(endpoint["url"]), gone or number >= len(schedule)
        self._ctx.log.warning("webhook_not_taken", delivery_id=delivery["_id"], host=host, last=last)
        if last:
            return {"state": "dead", "next_at": 0}
        delay_s = max(wait_s, schedule[number] * self._chance(0.9, 1.1))
        return {"next_at": self._clock() + int(delay_s * 1000)}


async def _skim(answer: AsyncIterable[bytes]) -> None:
    """Read a short answer to its end; a long or slow one is left, and its connection closed."""
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            async for piece in answer:
                size += len(piece)
                if size > ANSWER_BYTES:
                    return
