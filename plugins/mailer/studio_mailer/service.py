"""The outbox: mails are stored before anybody hears of them, and looked at afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from studio import (
    ConflictError,
    Doc,
    HealthCheck,
    NotFoundError,
    Page,
    PluginContext,
    UnavailableError,
    new_id,
    now_ms,
)
from studio_mailer.models import Figures
from studio_mailer.rendering import TEMPLATES
from studio_mailer.text import address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from studio import Actor, Repository
    from studio_mailer.models import MailQuery
    from studio_mailer.rendering import Renderer

OUTBOX = "mail_outbox"
ENDED_BADLY = ("dead", "failed")
KEY_CHARS = 200
STUCK_S = 900.0
"""A mail that waits for longer makes the health check fail: nothing leaves the house."""


class MailService:
    """Implements `studio_mailer.api.Mails`; `clock` is in UTC ms."""

    def __init__(self, ctx: PluginContext, renderer: Renderer, clock: Callable[[], int] = now_ms) -> None:
        self._ctx, self._renderer, self._clock = ctx, renderer, clock
        self.ring: Callable[[], None] = lambda: None
        """Wakes the delivery of this process."""

    async def enqueue(self, template: str, to: str, values: Mapping[str, Any], *, key: str) -> None:
        """Store a mail, once per key, and wake the delivery."""
        stored = self._renderer.checked(template, values)
        if TEMPLATES[template].secret:
            raise ValueError(f"mail {template!r} carries a secret and is not stored: use send_now")
        subject = self._renderer.subject(template, stored)
        mail: Doc = {"_id": new_id(), "key": _key(key), "template": template, "to": address(to)}
        mail |= {"subject": subject, "content": json.dumps(stored), "state": "queued"}
        mail |= {"attempts": 0, "next_at": self._clock()}
        try:
            await self._mails.insert(mail)
        except ConflictError:  # asked before: it is stored, or sent
            return
        self.ring()

    async def send_now(self, template: str, to: str, values: Mapping[str, Any], *, key: str) -> None:
        """Send past the outbox; raises what the provider raises."""
        mail = self._renderer.mail(template, to, self._renderer.checked(template, values))
        await self._ctx.providers.get("mail", steady=True).send(mail, idempotency_key=_key(key))

    async def list_mails(self, query: MailQuery) -> Page:
        """Return one page, newest first."""
        where = {"state": query.state} if query.state else {}
        found: Page = await self._mails.page(where, cursor=query.cursor, limit=query.limit, newest_first=True)
        return found

    async def get_mail(self, mail_id: str) -> Doc:
        """Return a mail; raises NotFoundError."""
        mail = await self._mails.get(mail_id)
        if mail is None:
            raise NotFoundError("There is no such mail, or no longer.")
        return mail

    async def retry_mail(self, actor: Actor, mail_id: str) -> Doc:
        """Queue a dead or failed mail anew; raises ConflictError for one in any other state."""
        fresh = {"state": "queued", "attempts": 0, "next_at": self._clock()}
        for state in ENDED_BADLY:
            change = {"$set": fresh, "$unset": {"expires_at": ""}}
            if await self._mails.update({"_id": mail_id, "state": state}, change):
                self._ctx.log.info("mail_retried", mail_id=mail_id, by=actor.user_id)
                self.ring()
                return await self.get_mail(mail_id)
        state = (await self.get_mail(mail_id))["state"]
        raise ConflictError(f"This mail is {state}; only dead and failed ones can be retried.")

    async def figures(self) -> Figures:
        """Count what waits and what has come to nothing."""
        queued = await self._mails.count({"state": "queued"})
        dead = sum([await self._mails.count({"state": state}) for state in ENDED_BADLY])
        oldest = await self._mails.find_one({"state": "queued"}, sort=[("_id", 1)]) if queued else None
        age_s = max(0.0, (self._clock() - oldest["created_at"]) / 1000) if oldest else 0.0
        return Figures(queued=queued, dead=dead, oldest_s=age_s)

    def health_check(self) -> HealthCheck:
        """Return the check: it fails while mails are stuck, and tells how many have died."""
        return HealthCheck("mail", self._health, critical=False)

    async def _health(self) -> str:
        found = await self.figures()
        note = f"{found.queued} queued, the oldest for {found.oldest_s:.0f} s; {found.dead} dead"
        if found.oldest_s > STUCK_S:
            raise UnavailableError(f"{note}: is a mail provider set up?")
        return note

    @property
    def _mails(self) -> Repository:
        return self._ctx.database[OUTBOX]


def _key(key: str) -> str:
    if not 0 < len(key) <= KEY_CHARS:
        raise ValueError(f"a mail's key has 1 to {KEY_CHARS} characters and names the occasion")
    return key
