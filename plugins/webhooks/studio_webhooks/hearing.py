"""What a stored call leads to: the job hears of it, and whoever has joined."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from studio import (
    ProviderUnavailableError,
    StudioError,
    UnauthenticatedError,
    WebhookNews,
    contained,
    now_ms,
)
from studio_webhooks.api import HeardCall
from studio_webhooks.service import INBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from studio import Doc, PluginContext
    from studio_webhooks.api import WebhookListener
    from studio_webhooks.settings import WebhooksSettings

    Change = Mapping[str, Any]

HOUR_MS = 3_600_000
FIELDS = ("provider", "account", "kind", "news", "address_token", "received_at", "replayed_at")
"""What is read of a call at first: its body only when somebody listens."""
MOST_DOUBLINGS = 30
LISTENER_S = 30.0
"""How long a listener may take, less than the lease of a call."""


class Hearing:
    """Implements `studio_webhooks.api.Webhooks`; `clock` is in UTC ms."""

    def __init__(
        self, ctx: PluginContext, settings: WebhooksSettings, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx, self._settings, self._clock = ctx, settings, clock
        self._listeners: dict[str, list[WebhookListener]] = defaultdict(list)

    def join(self, provider: str, listener: WebhookListener) -> None:
        """Hear every call of a vendor from now on."""
        self._listeners[provider].append(listener)

    async def handle(self, call: Doc) -> Change:
        """Work on one call; return how its document changes."""
        try:
            news = WebhookNews.model_validate_json(call["news"])
        except ValidationError:  # another version's: a process of that one can take it
            return self._again(call, "This version cannot read what was stored of it.", "unreadable_call")
        if not self._knows(call["provider"]):  # switched off, or this process is still starting
            return self._again(call, "This provider is not there.", "unknown_provider")
        if refusal := await self._tell(call, news):
            return self._again(call, refusal, "listener_failed")
        return _ended("processed") if news.provider_job_id is None else await self._hear(call, news)

    async def _hear(self, call: Doc, news: WebhookNews) -> Change:
        try:
            heard = await self._ctx.jobs.hear(call["provider"], news, call.get("address_token"))
        except UnauthenticatedError as error:  # no repetition makes the token another one
            return self._dead(call, error.detail, error.code)
        except StudioError as error:
            return self._again(call, error.detail, error.code)
        if heard == "unknown" and not self._listeners[call["provider"]]:
            return self._again(call, "No job is known by this id.", "unknown_job")
        return _ended("ignored" if heard == "ignored" else "processed")

    def _knows(self, provider: str) -> bool:
        """Say if the provider is registered: by then every plugin has started, and all listeners have joined."""
        try:
            return self._ctx.providers.webhook_parser(provider) is not None
        except ProviderUnavailableError:
            return True

    async def _tell(self, call: Doc, news: WebhookNews) -> str:
        """Call the listeners; return what went wrong, "" for nothing."""
        if not (listeners := self._listeners[call["provider"]]):
            return ""
        body = await self._body(call["_id"])
        heard = HeardCall(call["provider"], call["account"], news, body, call["received_at"])
        for listener in listeners:
            with contained() as failed:  # the boundary to other plugins' listeners: they hear it again
                async with asyncio.timeout(LISTENER_S):  # one that hangs would keep its place for ever
                    await listener(heard)
            if failed.error:
                self._ctx.log.warning(
                    "webhook_listener_failed", call_id=call["_id"], error=repr(failed.error)
                )
                return f"A listener failed with {type(failed.error).__name__}."
        return ""

    async def _body(self, call_id: str) -> bytes:
        found = await self._ctx.database[INBOX].find_one({"_id": call_id})
        return bytes(found["body"]) if found else b""

    def _again(self, call: Doc, error: str, code: str) -> Change:
        begun: int = call.get("replayed_at") or call["received_at"]
        if self._clock() - begun >= self._settings.wait_h * HOUR_MS:
            return self._dead(call, error, code)
        grown = self._settings.retry_s * 2.0 ** min(call["attempts"] - 1, MOST_DOUBLINGS)
        wait_ms = int(min(grown, self._settings.retry_cap_s) * 1000)
        return {"$set": {"next_at": self._clock() + wait_ms, "error": error, "error_code": code}}

    def _dead(self, call: Doc, error: str, code: str) -> Change:
        named = {"provider": call["provider"], "call_id": call["_id"], "kind": call["kind"]}
        self._ctx.log.error("webhook_dead", **named, code=code, error=error)
        return {"$set": {"state": "dead", "next_at": 0, "error": error, "error_code": code}}


def _ended(state: str) -> Change:
    return {"$set": {"state": state, "next_at": 0}, "$unset": {"error": "", "error_code": ""}}
