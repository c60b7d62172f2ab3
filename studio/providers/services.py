"""Providers that generate nothing: storage, mail, issues; and the calls that vendors make to us."""

from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import Field

from studio.providers.contract import Generation, ProviderModel


class WebhookCall(ProviderModel):
    """A vendor's call as it arrived. `headers` by name in lower case, `path` and `query` as sent, not decoded."""

    method: str = "POST"
    path: str
    query: str = ""
    headers: dict[str, str]
    body: bytes
    received_at: int
    """UTC ms."""


class WebhookNews(ProviderModel):
    """What a verified call says. `delivery_id` is the vendor's own, the same for every repetition.

    Without a `generation` the vendor is asked; one that is given is believed, as its body was signed.
    """

    delivery_id: str
    kind: str = ""
    """The vendor's own word for the event."""
    provider_job_id: str | None = None
    generation: Generation | None = None
    at_ms: int | None = None
    """When it happened there (UTC ms), where calls can overtake each other."""


class WebhookParser(Protocol):
    """What a provider whose spec says `webhooks` offers besides."""

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Check the signature over the raw body first, then read it.

        Raises UnauthenticatedError for a bad, old or missing signature (401), BadRequestError for a body that is
        none (400), UnavailableError when the signature cannot be checked now (503: the vendor comes again).
        """
        ...


class StoredBlob(ProviderModel):
    """A file in storage: `key` addresses it, `sha256` is the hex digest of its bytes."""

    key: str
    sha256: str
    bytes: int
    mime: str


@runtime_checkable
class FileStorage(Protocol):
    """Keeps files by content. Writing the same bytes twice keeps one copy."""

    async def put(self, source: Path, mime: str) -> StoredBlob:
        """Copy a local file in, atomically; raises StorageFullError when there is no room (nothing is left)."""
        ...

    async def path(self, key: str) -> Path:
        """Return a local readable path for `key`; raises NotFoundError."""
        ...

    async def delete(self, key: str) -> None:
        """Remove `key`; no error when it is gone already."""
        ...


_NO = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
Header = Annotated[str, Field(pattern=rf"^([^={_NO}]|=+[^=?{_NO}])*=*$")]
"""Text that can never become two headers: no line breaks of any script, no control characters, no "=?".

That one begins an encoded word (RFC 2047). Python's `email` decodes those in a header that is set, and up to 3.12.4
writes the line breaks that come out as they are.
"""


class Mail(ProviderModel):
    """One message to one recipient, as text and optionally HTML."""

    to: Header
    subject: Header
    text: str
    html: str | None = None
    tags: tuple[Header, ...] = ()


@runtime_checkable
class Mailer(Protocol):
    """Sends mail."""

    async def send(self, mail: Mail, *, idempotency_key: str) -> str:
        """Send once per key; returns the message id."""
        ...


class Issue(ProviderModel):
    """Something to file. `label` finds it again and has no spaces."""

    title: str
    body: str
    label: str
    labels: tuple[str, ...] = ()
    context: dict[str, Any] = Field(default_factory=dict)
    """Shown as JSON below the body."""


@runtime_checkable
class IssueTracker(Protocol):
    """Files issues."""

    async def create_issue(self, issue: Issue) -> str:
        """File it and return its key; raises OutcomeUnknownError when it may exist already: `find_issue` tells."""
        ...

    async def find_issue(self, label: str) -> str | None:
        """Return the key of the issue that carries `label`."""
        ...

    async def attach(self, key: str, path: Path, mime: str) -> str:
        """Attach a file to an issue and return the attachment's id."""
        ...
