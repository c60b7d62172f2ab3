"""The inbox: a vendor's call is verified, stored once, acknowledged, and worked on afterwards."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from studio import (
    BadRequestError,
    ConflictError,
    Doc,
    NotFoundError,
    Page,
    UnauthenticatedError,
    new_id,
    now_ms,
)
from studio_audit.api import audit
from studio_webhooks.models import CallPublic
from studio_webhooks.receiving import redacted
from studio_webhooks.strangers import Strangers

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Actor, PluginContext, Repository, WebhookCall, WebhookNews
    from studio_webhooks.models import CallQuery
    from studio_webhooks.settings import WebhooksSettings

INBOX = "webhook_inbox"
DAY_S, ID_CHARS, WORD_CHARS = 86_400, 200, 100
ENDED = ("processed", "ignored", "dead")
LISTED = [name for name in CallPublic.model_fields if name != "id"]
"""A list leaves the bodies in the database: one may have a megabyte."""


class InboxService:
    """Takes vendors' calls in; `clock` is in UTC ms."""

    def __init__(
        self, ctx: PluginContext, settings: WebhooksSettings, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx, self._settings, self._clock = ctx, settings, clock
        self._strangers = Strangers(settings.refused_calls, settings.refused_s)
        self.ring: Callable[[], None] = lambda: None
        """Wakes the worker of this process."""
        self.taken, self.refused = Counter[str](), Counter[str]()
        """Calls that were stored, and bad signatures, by vendor: figures only, a forged call is stored nowhere."""

    def admit(self, provider: str, remote: str) -> int:
        """Return how many bytes may come; NotFoundError for a vendor that never calls, RateLimitedError."""
        if self._ctx.providers.webhook_parser(provider) is None:
            raise NotFoundError("No provider of this name calls back here.")
        self._strangers.check(remote)
        return self._settings.body_limit

    async def receive(self, provider: str, account: str, call: WebhookCall, remote: str) -> Doc:
        """Verify, store once and return the receipt.

        Raises UnauthenticatedError, BadRequestError, UnavailableError as the vendor's parser does, and
        DatabaseUnavailableError: the vendor comes again.
        """
        parser = self._ctx.providers.webhook_parser(provider)
        if parser is None:
            raise NotFoundError("No provider of this name calls back here.")
        try:
            news = await parser.parse_webhook(call)
        except UnauthenticatedError as error:
            self.refused[provider] += 1
            self._strangers.refused(remote)
            self._ctx.log.warning("webhook_refused", provider=provider, remote=remote, code=error.code)
            raise
        self._strangers.passed(remote)
        if not news.delivery_id:
            raise BadRequestError("The call names no delivery.")
        return await self._store(self._document(provider, account, call, news))

    async def _store(self, document: Doc) -> Doc:
        receipt = {"delivery_id": document["delivery_id"]}
        try:
            await self._inbox.insert(document)
        except ConflictError:  # stored before, by another copy of the same call
            return {**receipt, "duplicate": True}
        self.taken[document["provider"]] += 1
        self.ring()
        return {**receipt, "duplicate": False}

    def _document(self, provider: str, account: str, call: WebhookCall, news: WebhookNews) -> Doc:
        asked = parse_qs(call.query)
        delivery_id = _short(news.delivery_id)
        return {
            "_id": new_id(),
            "provider": provider,
            "account": account,
            "delivery_id": delivery_id,
            "kind": news.kind[:WORD_CHARS],
            "provider_job_id": news.provider_job_id,
            "job_id": asked.get("job", [""])[0][:WORD_CHARS] or None,
            # Proves that the address was given for this job; no public model has it.
            "address_token": asked.get("token", [None])[0],
            "news": news.model_dump_json(),
            "headers": redacted(call.headers),
            "body": call.body,
            "received_at": call.received_at,
            "state": "received",
            "attempts": 0,
            "next_at": self._clock(),
            "lane": f"{provider}:{news.provider_job_id or delivery_id}",
            "expires_at": self._gone(),
        }

    def _gone(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000 + self._settings.keep_d * DAY_S, UTC)

    async def list_calls(self, query: CallQuery) -> Page:
        """Return one page, newest first."""
        chosen = {"provider": query.provider, "state": query.state}
        where = {name: value for name, value in chosen.items() if value is not None}
        found: Page = await self._inbox.page(
            where, cursor=query.cursor, limit=query.limit, newest_first=True, fields=LISTED
        )
        return found

    async def get_call(self, call_id: str) -> Doc:
        """Return a call with its body as text; raises NotFoundError."""
        call = await self._inbox.get(call_id)
        if call is None:
            raise NotFoundError("There is no such call, or no longer.")
        return call | {"body": bytes(call["body"]).decode("utf-8", "replace")}

    async def replay_call(self, actor: Actor, call_id: str) -> Doc:
        """Work on an ended call anew; raises ConflictError for one that is still under way."""
        now = self._clock()
        fresh = {"state": "received", "attempts": 0, "next_at": now, "replayed_at": now}
        fresh["expires_at"] = self._gone()  # else it could be removed while it waits
        change = {"$set": fresh, "$unset": {"error": "", "error_code": ""}}
        if await self._inbox.update({"_id": call_id, "state": {"$in": ENDED}}, change):
            self.ring()
            call = await self.get_call(call_id)
            told = {name: call[name] for name in ("provider", "delivery_id")}
            await audit(self._ctx, actor, "webhook.replayed", ("webhook_call", call_id), after=told)
            return call
        state = (await self.get_call(call_id))["state"]
        raise ConflictError(f"This call is {state}; only those that have ended can be replayed.")

    @property
    def _inbox(self) -> Repository:
        return self._ctx.database[INBOX]


def _short(delivery_id: str) -> str:
    """Return an id that fits an index, the same for every repetition."""
    long = len(delivery_id) > ID_CHARS
    return f"sha256:{hashlib.sha256(delivery_id.encode()).hexdigest()}" if long else delivery_id
