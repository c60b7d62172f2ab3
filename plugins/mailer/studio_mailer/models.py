"""Models of the outbox."""

from typing import Literal

from pydantic import Field

from studio import Model, PageQuery

State = Literal["queued", "sending", "sent", "failed", "dead"]
"""`failed`: the provider or the template refused it; `dead`: every try went wrong. Both may be retried."""


class MailPublic(Model):
    """One mail of the outbox, without what it says; times in UTC ms."""

    id: str
    key: str
    template: str
    to: str
    subject: str
    state: State
    attempts: int
    next_at: int
    """When it is tried next, or taken from a silent process; 0 when it has ended."""
    error: str | None = None
    error_code: str | None = None
    provider: str | None = None
    message_id: str | None = None
    """What the provider calls it."""
    sent_at: int | None = None
    created_at: int


class MailQuery(PageQuery):
    """The list, newest first; without `state` all."""

    state: State | None = Field(None)


class Figures(Model):
    """How the outbox stands; `oldest_s` is the age of the oldest mail that waits, 0 without one."""

    queued: int = 0
    dead: int = 0
    """Those that failed too."""
    oldest_s: float = 0.0
