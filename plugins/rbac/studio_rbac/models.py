"""Models of roles and permissions."""

from __future__ import annotations

from pydantic import Field

from studio import Model


class PermissionPublic(Model):
    """One right that a plugin has registered."""

    name: str
    title: str
    scope: str


class PermissionList(Model):
    """Every right."""

    items: list[PermissionPublic]


class RolePublic(Model):
    """A role and what it holds."""

    key: str
    title: str
    builtin: bool
    permissions: list[str]


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
