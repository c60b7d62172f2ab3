"""Handlers of the outbox and of the preview."""

from typing import Literal

import aiohttp_jinja2
from aiohttp import web

from studio import Doc, Mail, Model, NotFoundError, Page, Request
from studio_mailer.models import MailQuery
from studio_mailer.rendering import TEMPLATES, Renderer
from studio_mailer.samples import SAMPLES, TO
from studio_mailer.service import MailService

_STYLE = "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
PAGE_POLICY = f"default-src 'none'; frame-src 'self'; {_STYLE}"
MAIL_POLICY = f"default-src 'none'; img-src data:; {_STYLE}; sandbox allow-popups"
"""A mail is shown as a mail program shows it: no script, nothing from elsewhere."""


class PreviewQuery(Model):
    """Which half of the mail to show."""

    part: Literal["html", "text"] = "html"


async def list_mails(request: Request, query: MailQuery) -> Page:
    """List the outbox, newest first; `state` picks those in one state."""
    return await request.service(MailService).list_mails(query)


async def get_mail(request: Request, mail_id: str) -> Doc:
    """Get one mail of the outbox: its state, tries and error."""
    return await request.service(MailService).get_mail(mail_id)


async def retry_mail(request: Request, mail_id: str) -> Doc:
    """Queue a dead or failed mail anew."""
    return await request.service(MailService).retry_mail(request.actor, mail_id)


async def list_previews(request: Request) -> web.Response:
    """Show every template with sample values, in development only."""
    mails = [(name, _sample(request, name)) for name in TEMPLATES]
    answer = aiohttp_jinja2.render_template("mailer/preview.html", request.raw, {"mails": mails})
    return _kept_apart(answer, PAGE_POLICY)


async def show_preview(request: Request, name: str, query: PreviewQuery) -> web.Response:
    """Show one template with sample values, in development only."""
    if name not in TEMPLATES:
        raise NotFoundError(f"There is no mail template of this name; choose from {', '.join(TEMPLATES)}.")
    mail = _sample(request, name)
    body, kind = (mail.html, "text/html") if query.part == "html" else (mail.text, "text/plain")
    return _kept_apart(web.Response(text=body, content_type=kind, charset="utf-8"), MAIL_POLICY)


def _sample(request: Request, name: str) -> Mail:
    renderer = request.service(Renderer)
    return renderer.mail(name, TO, renderer.checked(name, SAMPLES[name]))


def _kept_apart(answer: web.Response, policy: str) -> web.Response:
    answer.headers.update({"Content-Security-Policy": policy, "Cache-Control": "no-store"})
    return answer
