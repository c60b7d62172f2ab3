"""From a template and its values to a mail: subject, text and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from pydantic import ValidationError

from studio import Mail, Model
from studio_mailer.api import BugReportValues, InvitationValues, OtpValues, ReviewLinkValues
from studio_mailer.text import SUBJECT_CHARS, address, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of mail: `<name>.txt` and `<name>.html` under templates/mails; a `secret` one is never stored."""

    name: str
    values: type[Model]
    subject: str
    secret: bool = False


TEMPLATES = {
    template.name: template
    for template in (
        # No code in the subject: subjects stand on lock screens, in logs of mail servers and in their lists.
        Template("otp", OtpValues, "Your code for Studio", secret=True),
        Template("invitation", InvitationValues, "{{ inviter_name or inviter_email }} invites you to “{{ project }}”"),
        Template("bug_report", BugReportValues, "Bug report: {{ title }}"),
        Template("review_link", ReviewLinkValues, "“{{ title }}” is ready for your review"),
    )
}  # fmt: skip


def day(at_ms: int) -> str:
    """Write a moment (UTC ms) as a reader anywhere understands it: 3 March 2026, 14:05 UTC."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


class Renderer:
    """Makes mails. `origin` (scheme and host) stands before links that are paths."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        loader = jinja2.FileSystemLoader(FOLDER / "mails")
        self._env = jinja2.Environment(
            loader=loader,
            autoescape=jinja2.select_autoescape(
                ("html",), default_for_string=False
            ),  # text and subjects are no HTML
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters |= {"day": day, "absolute": self._absolute}

    def checked(self, template: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values as they are stored: cut, on one line, complete; ValueError says what is wrong."""
        model = _known(template).values
        try:
            return model.model_validate(dict(values)).model_dump()
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found)
            raise ValueError(
                f"mail {template!r}: {wrong} (its values: {', '.join(model.model_fields)})"
            ) from None

    def subject(self, template: str, values: Mapping[str, Any]) -> str:
        """Return the subject: one line, at most 150 characters."""
        written = self._env.from_string(_known(template).subject).render(values)
        return one_line(written, SUBJECT_CHARS)

    def mail(self, template: str, to: str, values: Mapping[str, Any]) -> Mail:
        """Return the whole mail of `checked` values; raises InvalidInputError for a bad address."""
        subject = self.subject(template, values)
        text, html = (
            self._env.get_template(f"{template}.{kind}").render(values, subject=subject)
            for kind in ("txt", "html")
        )
        return Mail(to=address(to), subject=subject, text=text, html=html, tags=(template,))

    def _absolute(self, link: str) -> str:
        return f"{self._origin}{link}" if link.startswith("/") else link


def _known(name: str) -> Template:
    if name not in TEMPLATES:
        raise ValueError(f"there is no mail template {name!r}; choose from {', '.join(TEMPLATES)}")
    return TEMPLATES[name]
