"""The five built-in roles, each a rule over the permissions that plugins have registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROLES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "viewer": ("Sees everything", lambda name: name.endswith(":read")),
    "reviewer": (
        "Sees everything, comments and reviews",
        lambda name: name.endswith(":read") or name.startswith(("comment:", "review:")),
    ),
    "artist": (
        "Writes stories, makes and chooses assets",
        lambda name: name.endswith(":read") or not name.startswith(("project:", "budget:", "webhook:")),
    ),
    "producer": ("Everything but deleting the project", lambda name: name != "project:delete"),
    "owner": ("Everything", lambda _: True),
}
"""Key → (title, which project permissions it holds)."""


def permissions_of(role: str, registered: Iterable[str]) -> frozenset[str]:
    """Return the permissions of a role; an unknown role has none."""
    _, holds = ROLES.get(role, ("", lambda _: False))
    return frozenset(name for name in registered if holds(name))
