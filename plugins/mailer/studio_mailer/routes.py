"""The table of routes: the outbox for operators, and in development every template to look at."""

from __future__ import annotations

from studio import PUBLIC, Route
from studio_mailer import handlers as h
from studio_mailer.models import MailPublic

OPERATE = "platform:operate"
MAILS, PREVIEW = "/api/mailer/mails", "/mail/preview"

ROUTES = [
    Route("GET", MAILS, h.list_mails, OPERATE, returns=MailPublic),
    Route("GET", f"{MAILS}/{{mail_id}}", h.get_mail, OPERATE, returns=MailPublic),
    Route("POST", f"{MAILS}/{{mail_id}}/retry", h.retry_mail, OPERATE, returns=MailPublic),
]
PREVIEW_ROUTES = [
    Route("GET", PREVIEW, h.list_previews, PUBLIC, produces="text/html"),
    Route("GET", f"{PREVIEW}/{{name}}", h.show_preview, PUBLIC, produces="text/html"),
]
"""There in development only."""
