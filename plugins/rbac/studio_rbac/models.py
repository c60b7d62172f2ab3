"""Models of roles and permissions."""

from typing import Annotated

from pydantic import Field, StringConstraints

from studio import Model

# No control characters, no line or paragraph separators, nothing that turns the direction of a text.
PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$"
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=PLAIN)]
Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=200)]
Rev = Annotated[int | None, Field(ge=1, lt=2**53)]


class PermissionPublic(Model):
    """One right that a plugin has registered."""

    name: str
    title: str
    scope: str


class PermissionList(Model):
    """Every right."""

    items: list[PermissionPublic]


class RolePublic(Model):
    """A role and what it holds; one of a project's own has an id, by which it can be changed."""

    id: str | None = None
    project_id: str | None = None
    key: str
    title: str
    builtin: bool
    permissions: list[str]
    rev: int | None = None


class RoleQuery(Model):
    """With a project: its own roles beside the built-in ones."""

    project_id: Annotated[str | None, Field(min_length=1, max_length=64)] = None


class RoleCreate(Model):
    """A role of one project. Every role sees the project; `permissions` are what it holds beside that."""

    project_id: Annotated[str, Field(min_length=1, max_length=64)]
    key: Key
    title: Title
    permissions: Names


class RoleUpdate(Model):
    """What may change; `rev` guards against writing over somebody else's change."""

    rev: Rev = None
    title: Title | None = None
    permissions: Names | None = None


class RoleList(Model):
    """Every role."""

    items: list[RolePublic]


class MyPermissions(Model):
    """The caller's role in a project and what it holds."""

    role: str | None
    permissions: list[str]


class PermissionCheck(Model):
    """Ask for one permission, on this project if one is named."""

    permission: str = Field(min_length=1, max_length=100)
    project_id: str | None = Field(None, max_length=64)


class PermissionAnswer(Model):
    """Whether the caller may."""

    allowed: bool
