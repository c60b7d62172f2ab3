"""Models of projects, collaborators and invitations."""

from typing import Annotated, Literal

from pydantic import EmailStr, Field, StringConstraints

from studio import Model, PageQuery

# No control characters, no line or paragraph separators, nothing that turns the direction of a text.
PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PLAIN)]
Aspect = Literal["16:9", "9:16", "1:1", "4:3", "2.39:1"]
Resolution = Literal["480p", "720p", "1080p"]
Rev = Annotated[int | None, Field(ge=1, lt=2**53)]
RoleKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
"""A built-in role or one of the project's own; which of them the caller may give is the service's to know."""
State = Literal["invited", "expired", "active"]


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

    rev: Rev = None
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
    """Invite the owner of an e-mail address, whether or not they have signed in before."""

    email: EmailStr
    role_key: RoleKey = "viewer"


class CollaboratorUpdate(Model):
    """Give a collaborator another role; `rev` guards against writing over somebody else's change."""

    rev: Rev = None
    role_key: RoleKey


class CollaboratorQuery(PageQuery):
    """A page of members and invited people; `state` shows only some of them."""

    state: State | None = None


class CollaboratorPublic(Model):
    """One member of a project, or somebody invited (`user_id` null); times in UTC ms."""

    id: str
    project_id: str
    user_id: str | None = None
    email: str
    role_key: str
    state: str
    rev: int = 1
    invited_by: str | None = None
    expires_at: int | None = None
    """When the invitation ends; null for a member."""
    created_at: int


class InvitationPublic(CollaboratorPublic):
    """What the inviter gets. `accept_link` only when no mail goes out: then it is theirs to hand on."""

    mail: Literal["queued", "not_sent"] = "not_sent"
    accept_link: str | None = None
