"""What other plugins may ask of projects, and what projects ask of the plugin that knows users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from studio import Doc


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

    def on_membership_change(self, listener: MembershipListener) -> None:
        """Call `listener(user_id, project_id)` after a membership was added, changed or removed."""
        ...


MembershipListener = Callable[[str, str], Awaitable[None]]


class UserDirectory(Protocol):
    """Finds users; provided by the plugin that owns them."""

    async def user_by_email(self, email: str) -> Doc | None:
        """Return the active user with this address, whatever its case."""
        ...

    async def user(self, user_id: str) -> Doc | None:
        """Return an active user."""
        ...
