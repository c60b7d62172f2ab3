"""Models of the activity feed."""

from typing import Any

from pydantic import Field

from studio import Model


class ActorPublic(Model):
    """Who did it."""

    type: str
    id: str
    name: str = ""


class ActivityPublic(Model):
    """One thing that happened `at` (UTC ms) and was stored at `created_at`; `text` is the filled-in label."""

    id: str
    project_id: str
    actor: ActorPublic
    action: str
    text: str
    target: dict[str, Any] | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    job_id: str | None = None
    at: int
    created_at: int


class ActionPublic(Model):
    """One kind of activity."""

    code: str
    label: str
    category: str


class ActionList(Model):
    """Every kind of activity that the plugins which are on may log."""

    items: list[ActionPublic]
