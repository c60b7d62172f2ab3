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
    from collections.abc import Callable, Mapping

    from studio import PluginContext

SHOWN = 50
_CODE = re.compile(r"\b\d{6,10}\b")
_LINK = re.compile(r"https?://[^\s<>\"']+")


@dataclass(frozen=True, slots=True)
class OutboxMail:
    """One mail; `code` is the first one-time code in it."""

    to: str
    subject: str
    text: str
    sent_at: str
    id: str = ""
    """What `eml()` of the mailer takes."""

    @property
    def links(self) -> list[str]:
        """Return the addresses that the mail leads to."""
        return _LINK.findall(self.text)

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
    found = _reader(ctx, "list")()
    mails = await found if inspect.isawaitable(found) else found
    return [_mail(mail) for mail in mails[:SHOWN]]


async def read_eml(ctx: PluginContext, mail_id: str) -> bytes:
    """Return one mail as the file that would have been sent, from the mailer's `eml(id)`."""
    return bytes(await _reader(ctx, "eml")(mail_id))


def _reader(ctx: PluginContext, name: str) -> Callable[..., Any]:
    if ctx.config.environment != "development":
        raise NotFoundError
    try:
        kept = getattr(ctx.providers.get("mail"), name, None)
    except ProviderUnavailableError:
        kept = None
    if kept is None:
        raise NotFoundError("This mailer keeps no outbox: look into your mailbox.")
    return kept  # type: ignore[no-any-return]  # what a provider offers beside its protocol is Any


def _mail(mail: Mapping[str, Any] | BaseModel) -> OutboxMail:
    known = mail.model_dump() if isinstance(mail, BaseModel) else mail
    sent = known.get("sent_at", known.get("sentAt", ""))
    if isinstance(sent, int):
        sent = datetime.fromtimestamp(sent / 1000, UTC).isoformat(timespec="seconds")
    return OutboxMail(
        str(known["to"]), str(known["subject"]), str(known["text"]), str(sent), str(known.get("id", ""))
    )
