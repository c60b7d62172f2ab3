"""Who is it, and may they: the kernel asks, the owners of `authenticate` and `authorize` answer.

No owner, a failed owner or an owner without an answer means no (401, 403): never open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from studio.errors import ForbiddenError, NotFoundError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio.dispatch import Dispatcher

PUBLIC = "public"
"""Permission of a route that anybody may call."""
SIGNED_IN = "signed_in"
"""Permission of a route that needs an actor and nothing else; its handler only touches the actor's own things."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A right that routes name, e.g. "story:write". A platform right is not tied to a project."""

    name: str
    title: str
    scope: Literal["project", "platform"] = "project"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. `scopes` empty means all that the user may; an API key lists its own."""

    user_id: str
    kind: Literal["user", "api_key", "system"] = "user"
    session_id: str | None = None
    platform_role: Literal["user", "admin"] = "user"
    scopes: frozenset[str] = field(default_factory=frozenset)
    name: str = ""

    @property
    def api_key_id(self) -> str | None:
        """The key that acts for the user, which stands where a session's id does; None when it is no key."""
        return self.session_id if self.kind == "api_key" else None


SYSTEM = Actor(user_id="system", kind="system", platform_role="admin", name="Studio")
"""The platform itself, for work that no user asked for."""


@dataclass(slots=True)
class Credentials:
    """What a client showed: the Authorization header, cookies, and its address; never logged."""

    authorization: str | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)
    remote: str = ""


@dataclass(slots=True)
class AccessQuery:
    """A question: may `actor` use `permission`, on `project_id` or (None) on the platform."""

    actor: Actor
    permission: str
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to an `AccessQuery`. `visible` False turns a no into a 404: the actor may not know of the object."""

    allowed: bool
    visible: bool = False


class Auth:
    """Asks the owners named in `[owners]`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def authenticate(self, credentials: Credentials) -> Actor:
        """Return the actor; raises UnauthenticatedError."""
        actor: Actor | None = await self._dispatcher.first("authenticate", credentials)
        if actor is None:
            raise UnauthenticatedError
        return actor

    async def require(self, actor: Actor, permission: str, project_id: str | None = None) -> None:
        """Return when `actor` may; raises NotFoundError for what is not theirs to know, else ForbiddenError."""
        if actor.kind == "system":
            return
        decision = await self._dispatcher.first("authorize", AccessQuery(actor, permission, project_id))
        if decision is not None and decision.allowed:
            return
        if project_id is not None and not (decision and decision.visible):
            raise NotFoundError
        raise ForbiddenError(f"This needs the permission {permission}.", permission=permission)
