"""The mails that the local mailer has kept, for the sign-in on a laptop."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from studio import NotFoundError, ProviderUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio import PluginContext

SHOWN = 50
_CODE = re.compile(r"\b\d{6,10}\b")


@dataclass(frozen=True, slots=True)
class OutboxMail:
    """One mail; `code` is the first one-time code in it."""

    to: str
    subject: str
    text: str
    sent_at: str

    @property
    def code(self) -> str | None:
        """Return the code that the mail brings, None when it brings none."""
        found = _CODE.search(self.text)
        return found[0] if found else None


async def list_mails(ctx: PluginContext) -> list[OutboxMail]:
    """Return the newest mails first; raises NotFoundError where mails leave the house or others could look.

    A mailer keeps an outbox when it has `list()`: mappings or pydantic models with `to`, `subject`, `text`
    and perhaps `sent_at` (ISO 8601 or UTC ms), newest first.
    """
    if ctx.config.environment != "development":
        raise NotFoundError
    try:
        kept = getattr(ctx.providers.get("mail"), "list", None)
    except ProviderUnavailableError:
        kept = None
    if kept is None:
        raise NotFoundError("This mailer keeps no outbox: look into your mailbox.")
    found = kept()
    mails = await found if inspect.isawaitable(found) else found
    return [_mail(mail) for mail in mails[:SHOWN]]


def _mail(mail: Mapping[str, Any] | BaseModel) -> OutboxMail:
    known = mail.model_dump() if isinstance(mail, BaseModel) else mail
    sent = known.get("sent_at", known.get("sentAt", ""))
    if isinstance(sent, int):
        sent = datetime.fromtimestamp(sent / 1000, UTC).isoformat(timespec="seconds")
    return OutboxMail(str(known["to"]), str(known["subject"]), str(known["text"]), str(sent))
