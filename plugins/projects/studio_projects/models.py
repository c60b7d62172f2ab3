"""Models of projects and collaborators."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import EmailStr, Field, StringConstraints

from studio import Model

# No control characters, no line or paragraph separators, nothing that turns the direction of a text.
PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PLAIN)]
Aspect = Literal["16:9", "9:16", "1:1", "4:3", "2.39:1"]
Resolution = Literal["480p", "720p", "1080p"]
RoleKey = Literal["producer", "artist", "reviewer", "viewer"]
"""What can be given away. Whoever may invite could otherwise make themselves an owner."""


class ProjectCreate(Model):
    """A new project; `fps` frames per second."""

    name: Name
    aspect: Aspect = "16:9"
    fps: Annotated[int, Field(ge=12, le=60)] = 24
    resolution: Resolution = "720p"
    language: Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Za-z]{2,4})?$")] = "en"
    style_prompt: Annotated[str, Field(max_length=2000)] = ""


class ProjectUpdate(Model):
    """What may change; `rev` guards against writing over somebody else's change."""

    rev: Annotated[int | None, Field(ge=1, lt=2**53)] = None
    name: Name | None = None
    aspect: Aspect | None = None
    fps: Annotated[int | None, Field(ge=12, le=60)] = None
    resolution: Resolution | None = None
    language: Annotated[str | None, Field(pattern=r"^[a-z]{2}(-[A-Za-z]{2,4})?$")] = None
    style_prompt: Annotated[str | None, Field(max_length=2000)] = None
    status: Literal["active", "archived"] | None = None


class ProjectPublic(Model):
    """A project as its collaborators see it; times in UTC ms."""

    id: str
    name: str
    slug: str
    owner_id: str
    aspect: str
    fps: int
    resolution: str
    language: str
    style_prompt: str
    status: str
    rev: int
    created_at: int
    updated_at: int


class CollaboratorCreate(Model):
    """Add somebody who has signed in before, by e-mail address."""

    email: EmailStr
    role_key: RoleKey = "viewer"


class CollaboratorUpdate(Model):
    """Give a collaborator another role."""

    role_key: RoleKey


class CollaboratorPublic(Model):
    """One member of a project."""

    id: str
    project_id: str
    user_id: str
    email: str
    role_key: str
    state: str
    created_at: int
