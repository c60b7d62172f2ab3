"""What other plugins may use: `mails = ctx.service(Mails)`, with `requires=("mailer",)` in the manifest."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from pydantic import Field

from studio import Model
from studio_mailer.text import Address, Link, Name, Text, Title


class Mails(Protocol):
    """Sends mails made from a template.

    `template` is "otp", "invitation", "bug_report" or "review_link"; `values` are the fields of its model
    below (a missing or unknown one is a ValueError). Names are cut to 100 characters and to one line, HTML in
    them is shown, not obeyed. `to` is one bare address, else InvalidInputError. `key` names the occasion, such
    as "invitation:<id>:<n>": whatever is asked a second time under a key is done already.
    """

    async def enqueue(self, template: str, to: str, values: Mapping[str, Any], *, key: str) -> None:
        """Store the mail and return; it is sent in the background and tried again for hours.

        At least once: a process that dies between the provider's yes and its own note sends again, under the
        same idempotency key, which the provider remembers (Resend: 24 h). Raises ValueError for a template
        that carries a secret: use `send_now`.
        """
        ...

    async def send_now(self, template: str, to: str, values: Mapping[str, Any], *, key: str) -> None:
        """Send at once and store nothing: for one-time codes. Raises the provider's StudioError."""
        ...


class OtpValues(Model):
    """Template "otp": a one-time code, good for `minutes`. Only by `send_now`."""

    code: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{4,20}$")]
    minutes: Annotated[int, Field(ge=1)]


class InvitationValues(Model):
    """Template "invitation": somebody is asked into a project.

    `url` is absolute, or a path on this server ("/console#/invitations/…"), as in every template; `expires_ms`
    is UTC ms.
    """

    inviter_name: Name = ""
    inviter_email: Address
    project: Title
    role: Name
    url: Link
    expires_ms: int | None = None
    message: Text = ""


class BugReportValues(Model):
    """Template "bug_report": what a user reported, for the team."""

    reporter_name: Name = ""
    reporter_email: Address
    title: Title
    description: Text
    report_id: Name
    url: Link | None = None
    issue_key: Name = ""
    """The issue in the tracker, when there is one already."""
    facts: dict[Name, Title] = Field(default_factory=dict, max_length=20)
    """More lines for the team, such as browser and page."""


class ReviewLinkValues(Model):
    """Template "review_link": somebody is asked to look at a film; `expires_ms` is UTC ms."""

    sender_name: Name = ""
    sender_email: Address
    project: Title
    title: Title
    url: Link
    expires_ms: int | None = None
    message: Text = ""
