"""The background delivery: claims what is due, sends it, and tries again, later and later.

Several processes may deliver: a claim compares and sets by `_id`, and holds for a lease. What a dead process
had claimed is sent anew when the lease ends, under the same idempotency key: at least once, not exactly once.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from studio import Doc, PluginContext, ProviderUnavailableError, StudioError, new_id, now_ms
from studio_mailer.models import Figures
from studio_mailer.service import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from studio import Repository
    from studio_mailer.rendering import Renderer
    from studio_mailer.settings import MailerSettings

PAGE = 20
MARGIN_S = 30.0
"""A lease lasts so much longer than the provider's deadline, of which half is for the wait for a slot."""
FIGURES_S, STOP_S, DAY_S = 15.0, 1.5, 86_400
BAD_REQUEST, TOO_MANY, SERVER_ERROR = 400, 429, 500


class Delivery:
    """Sends what is due until `stop`. `chance(low, high)` draws the jitter; `clock` is in UTC ms."""

    def __init__(
        self,
        ctx: PluginContext,
        settings: MailerSettings,
        renderer: Renderer,
        *,
        clock: Callable[[], int] = now_ms,
        chance: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._ctx, self._settings, self._renderer = ctx, settings, renderer
        self._clock, self._chance = clock, chance
        self._rung, self._ended, self._stopping = asyncio.Event(), asyncio.Event(), False
        self.figures = Figures()
        """How the outbox stood at most 15 s ago, for the metrics."""

    def ring(self) -> None:
        """Look for due mails now."""
        self._rung.set()

    async def run(self, count: Callable[[], Awaitable[Figures]]) -> None:
        """Deliver until `stop`; `count` keeps `figures` fresh."""
        counted = -FIGURES_S
        loop = asyncio.get_running_loop()
        try:
            while not self._stopping:
                try:
                    while await self.deliver_due() and not self._stopping:
                        pass
                    if loop.time() - counted >= FIGURES_S:
                        self.figures, counted = await count(), loop.time()
                except StudioError as error:  # the database is away: the mails are safe, and wait
                    self._ctx.log.warning("mail_scan_failed", code=error.code, detail=error.detail)
                await self._pause()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Take no more mails and give those under way a moment."""
        self._stopping = True
        self._rung.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()

    async def deliver_due(self) -> int:
        """Send one page of what is due; return how many mails were tried."""
        where: Doc = {"next_at": {"$gt": 0, "$lte": self._clock()}}
        due = await self._mails.find(where, sort=[("next_at", 1)], limit=PAGE)
        provider = self._provider() if due else None
        if provider is None:
            return 0
        return sum(await asyncio.gather(*(self._deliver(mail, provider) for mail in due)))

    def _provider(self) -> Any:
        """Return who sends, None while nobody can: waiting costs no tries."""
        try:
            provider = self._ctx.providers.get(
                "mail", steady=True
            )  # a folder is no place to send it meanwhile
        except ProviderUnavailableError as error:
            self._ctx.log.warning("mails_wait", detail=error.detail)
            return None
        return None if provider.breaker.wait_s else provider

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.scan_s):
                await self._rung.wait()
        self._rung.clear()

    async def _deliver(self, mail: Doc, provider: Any) -> bool:
        claim = {"_id": mail["_id"], "state": mail.get("state"), "next_at": mail["next_at"]}
        attempts = mail.get("attempts", 0)
        if attempts >= self._settings.tries:
            return await self._bury(claim, mail)
        ends = self._clock() + int((provider.spec.deadline_s + MARGIN_S) * 1000)
        taken = {"state": "sending", "next_at": ends, "token": new_id(), "attempts": attempts + 1}
        if not await self._mails.update(claim, {"$set": taken}):
            return False  # another process was first
        change = await self._try(mail | taken, provider)
        await self._mails.update({"_id": mail["_id"], "token": taken["token"]}, change)
        return True

    async def _bury(self, claim: Doc, mail: Doc) -> bool:
        """End a mail whose last try ended with its process: there may be something in it that kills."""
        reason = "The process that sent it died, and no try is left."
        return bool(await self._mails.update(claim, self._ended_badly(mail, "dead", reason, "process_died")))

    async def _try(self, mail: Doc, provider: Any) -> Mapping[str, Any]:
        """Send one mail; return how its document changes."""
        try:
            letter = self._renderer.mail(mail["template"], mail["to"], json.loads(mail["content"]))
            async with asyncio.timeout(provider.spec.deadline_s + MARGIN_S / 2):
                message_id = await provider.send(letter, idempotency_key=mail["_id"])
        except TimeoutError:
            return self._again(mail, "The provider is too busy.", "provider_busy", 0.0)
        except (ValueError, KeyError, TemplateError) as error:  # stored by another release
            return self._ended_badly(mail, "failed", str(error), "template_changed")
        except StudioError as error:
            if BAD_REQUEST <= error.status < SERVER_ERROR and error.status != TOO_MANY:
                return self._ended_badly(mail, "failed", error.detail, error.code)
            return self._again(mail, error.detail, error.code, error.retry_after or 0.0)
        self._ctx.log.info("mail_sent", **_named(mail), provider=provider.name)
        sent = {"state": "sent", "sent_at": self._clock(), "provider": provider.name, "next_at": 0}
        sent |= {"message_id": str(message_id), "expires_at": self._gone_at()}
        # What it said has arrived, links with their tokens too: nothing of it stays.
        return {"$set": sent, "$unset": {"content": "", "error": "", "error_code": ""}}

    def _again(self, mail: Doc, error: str, code: str, wait_s: float) -> Mapping[str, Any]:
        if mail["attempts"] >= self._settings.tries:
            return self._ended_badly(mail, "dead", error, code)
        grown = self._settings.retry_s * 2.0 ** min(mail["attempts"] - 1, 60)
        delay_s = max(wait_s, self._chance(0.5, 1.0) * min(grown, self._settings.retry_cap_s))
        self._ctx.log.warning("mail_waits", **_named(mail), code=code, error=error, seconds=round(delay_s))
        at = self._clock() + int(delay_s * 1000)
        return {"$set": {"state": "queued", "next_at": at, "error": error, "error_code": code}}

    def _ended_badly(self, mail: Doc, state: str, error: str, code: str) -> Mapping[str, Any]:
        self._ctx.log.error("mail_given_up", **_named(mail), state=state, code=code, error=error)
        ended = {"state": state, "next_at": 0, "error": error, "error_code": code}
        return {"$set": ended | {"expires_at": self._gone_at()}}

    def _gone_at(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000 + self._settings.keep_d * DAY_S, UTC)

    @property
    def _mails(self) -> Repository:
        return self._ctx.database[OUTBOX]


def _named(mail: Doc) -> Doc:
    return {"mail_id": mail["_id"], "template": mail.get("template"), "attempts": mail.get("attempts", 0)}
