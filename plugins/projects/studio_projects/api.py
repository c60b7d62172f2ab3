"""What other plugins may ask of projects, and what projects ask of the owners of users and of roles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from studio import Actor, Doc


class Projects(Protocol):
    """Who works on what."""

    async def role_of(self, user_id: str, project_id: str) -> str | None:
        """Return the key of the user's role in a project that is not deleted, None for strangers."""
        ...

    async def project(self, project_id: str) -> Doc | None:
        """Return a project that is not deleted."""
        ...

    async def projects_of(self, user_id: str) -> list[Doc]:
        """Return the projects of a user, newest first."""
        ...

    async def holders_of(self, role_key: str, project_id: str) -> list[Doc]:
        """Return the members and the invited who have a role in a project."""
        ...

    def on_membership_change(self, listener: MembershipListener) -> None:
        """Call `listener(user_id, project_id)` after a membership was added, changed or removed."""
        ...


MembershipListener = Callable[[str, str], Awaitable[None]]


class RoleBook(Protocol):
    """Knows what roles hold; provided by the plugin that owns them."""

    async def permissions_of(self, role_key: str, project_id: str) -> frozenset[str] | None:
        """Return what a role of the project holds, None when there is no such role."""
        ...

    async def permissions_in(self, actor: Actor, project_id: str) -> frozenset[str]:
        """Return what the actor may do in a project, with the scopes of an API key taken into account."""
        ...


class UserDirectory(Protocol):
    """Finds users; provided by the plugin that owns them."""

    async def user_by_email(self, email: str) -> Doc | None:
        """Return the active user with this address, whatever its case."""
        ...

    async def user(self, user_id: str) -> Doc | None:
        """Return an active user."""
        ...
