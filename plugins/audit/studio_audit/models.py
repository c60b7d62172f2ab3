"""Models of the audit log."""

from typing import Annotated, Any

from pydantic import Field

from studio import Model, PageQuery

Id = Annotated[str, Field(min_length=1, max_length=64)]


class AuditQuery(PageQuery):
    """A page of entries; each field that is given narrows it."""

    actor_id: Id | None = None
    project_id: Id | None = None
    target_id: Id | None = None
    action: Annotated[str | None, Field(pattern=r"^[a-z_]+\.[a-z_]+$", max_length=100)] = None


class AuditActor(Model):
    """Who did it; `session_id` is the API key's id where `kind` is "api_key"."""

    kind: str
    id: str
    name: str = ""
    session_id: str | None = None


class AuditTarget(Model):
    """To what."""

    type: str
    id: str


class AuditEntry(Model):
    """One change; `at` in UTC ms, `request_id` empty where no request caused it."""

    id: str
    at: int
    actor: AuditActor
    action: str
    target: AuditTarget
    project_id: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    request_id: str = ""
