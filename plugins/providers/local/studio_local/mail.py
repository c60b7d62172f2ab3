"""`LocalOutboxMailer`: mails as .eml files in a folder, once per idempotency key."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Any

from studio import Mail, Model, NotFoundError
from studio_local.files import write_whole
from studio_local.settings import LocalSettings

if TYPE_CHECKING:
    from pathlib import Path

_FROM = "Studio <studio@localhost>"
_ID = re.compile(r"[0-9a-f]{32}")


class OutboxMail(Model):
    """One mail of the outbox, newest fields first; `sent_at` is ISO 8601."""

    id: str
    to: str
    subject: str
    text: str
    html: str | None = None
    tags: tuple[str, ...] = ()
    sent_at: str


class LocalOutboxMailer:
    """Writes mails to `outbox_dir`, where the console's outbox page and tests read them."""

    def __init__(self, ctx: Any) -> None:
        self._folder: Path = ctx.settings(LocalSettings).outbox_dir.absolute()

    async def send(self, mail: Mail, *, idempotency_key: str) -> str:
        """Write one mail per key and return its id; a repeated key returns the first mail's id."""
        return await asyncio.to_thread(self._send, mail, idempotency_key)

    async def list(self, limit: int = 50) -> tuple[OutboxMail, ...]:
        """Return the newest mails, newest first."""
        return await asyncio.to_thread(self._read_all, limit)

    async def latest(self, to: str) -> OutboxMail | None:
        """Return the newest mail to one recipient."""
        mails = await asyncio.to_thread(self._read_all, None)
        return next((mail for mail in mails if mail.to.lower() == to.lower()), None)

    async def eml(self, mail_id: str) -> bytes:
        """Return one mail as the file it is; raises NotFoundError."""
        return await asyncio.to_thread(self._eml, mail_id)

    def _eml(self, mail_id: str) -> bytes:
        path = next(self._folder.glob(f"*-{mail_id}.eml"), None) if _ID.fullmatch(mail_id) else None
        if path is None:
            raise NotFoundError("There is no such mail in the outbox.")
        return path.read_bytes()

    def _send(self, mail: Mail, key: str) -> str:
        message_id = hashlib.sha256(key.encode()).hexdigest()[:32]
        if not any(self._folder.glob(f"*-{message_id}.eml")):
            now = datetime.now(UTC)
            unseen = self._folder / f"{now:%Y%m%dT%H%M%S%f}-{message_id}.new"
            write_whole(unseen, bytes(_message(mail, now)))
            unseen.replace(unseen.with_suffix(".eml"))  # whoever looks for *.eml finds whole mails only
        return message_id

    def _read_all(self, limit: int | None) -> tuple[OutboxMail, ...]:
        paths = sorted(self._folder.glob("*.eml"), reverse=True) if self._folder.is_dir() else []
        return tuple(_read(path) for path in paths[:limit])


def _message(mail: Mail, now: datetime) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = _FROM, mail.to, mail.subject
    message["Date"], message["Message-ID"] = format_datetime(now), make_msgid(domain="localhost")
    if mail.tags:
        message["X-Studio-Tags"] = ", ".join(mail.tags)
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message


def _read(path: Path) -> OutboxMail:
    message = BytesParser(policy=policy.default).parsebytes(path.read_bytes())
    tags = str(message.get("X-Studio-Tags", ""))
    sent = message["Date"].datetime
    return OutboxMail(
        id=path.stem.rsplit("-", 1)[-1], to=str(message["To"]), subject=str(message["Subject"]),
        text=_body(message, "plain") or "", html=_body(message, "html"),
        tags=tuple(filter(None, tags.split(", "))), sent_at=sent.isoformat(),
    )  # fmt: skip


def _body(message: Any, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()).replace("\r\n", "\n").rstrip("\n") if part else None
