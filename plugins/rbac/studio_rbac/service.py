"""Decides, with a short memory in the process: a revoked right is gone within a second, everywhere."""

from __future__ import annotations

import time
from collections import OrderedDict

from studio import AccessQuery, Actor, Decision, Doc, PluginContext
from studio_projects.api import Projects
from studio_rbac.roles import ROLES, permissions_of

MEMORY_S = 0.8
"""How long a role is believed without asking: below the second that a revocation may take elsewhere."""
MEMORY_SIZE = 10_000
NO = Decision(allowed=False)


class RoleService:
    """Answers `authorize` and shows who may what."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._projects = ctx.service(Projects)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        self._projects.on_membership_change(self._forget)
        self._roles: OrderedDict[tuple[str, str], tuple[float, str | None]] = OrderedDict()
        self._changes = 0
        """Counts changed memberships: what was read before a change is not remembered after it."""
        names = [name for name, permission in ctx.permissions.items() if permission.scope == "project"]
        self._permissions = {role: permissions_of(role, names) for role in ROLES}
        self._own: OrderedDict[str, tuple[float, dict[str, frozenset[str]]]] = OrderedDict()
        """What the roles of projects' own hold, by project."""

    async def decide(self, query: AccessQuery) -> Decision:
        """Answer whether the actor may: platform rights need an admin, project rights a role that holds them.

        A permission that nobody registers and a project's without a project are a no for everybody.
        """
        actor, permission = query.actor, self._ctx.permissions.get(query.permission)
        if permission is None or (actor.scopes and permission.name not in actor.scopes):
            return NO
        if permission.scope == "platform":
            return Decision(allowed=actor.platform_role == "admin")
        role = await self.role_of(actor.user_id, query.project_id) if query.project_id else None
        if role is None:
            return NO
        return Decision(allowed=permission.name in await self._held(role, query.project_id), visible=True)

    async def role_of(self, user_id: str, project_id: str) -> str | None:
        """Return a user's role, from memory when it is younger than 0.8 s."""
        key, now, changes = (user_id, project_id), time.monotonic(), self._changes
        known = self._roles.get(key)
        if known and known[0] > now:
            return known[1]
        role = await self._projects.role_of(user_id, project_id)
        if changes == self._changes:
            self._roles[key] = (now + MEMORY_S, role)
        if len(self._roles) > MEMORY_SIZE:
            self._roles.popitem(last=False)
        return role

    async def _forget(self, user_id: str, project_id: str) -> None:
        self._changes += 1
        self._roles.pop((user_id, project_id), None)

    async def _held(self, role: str, project_id: str | None) -> frozenset[str]:
        """Return what a role holds in a project; one that is not there any more holds nothing."""
        builtin = self._permissions.get(role)
        if builtin is not None or not project_id:
            return builtin or frozenset()
        return (await self._own_of(project_id)).get(role, frozenset())

    async def _own_of(self, project_id: str) -> dict[str, frozenset[str]]:
        """Return what a project's own roles hold, from memory when it is younger than 0.8 s."""
        now, changes = time.monotonic(), self._changes
        known = self._own.get(project_id)
        if known and known[0] > now:
            return known[1]
        found = await self._ctx.database["roles"].find({"project_id": project_id})
        own = {role["key"]: frozenset(role["permissions"]) for role in found}
        if changes == self._changes:
            self._own[project_id] = (now + MEMORY_S, own)
        if len(self._own) > MEMORY_SIZE:
            self._own.popitem(last=False)
        return own

    def forget_roles(self, project_id: str) -> None:
        """Believe nothing of a project's own roles, not even what was asked before now and is still to come."""
        self._changes += 1
        self._own.pop(project_id, None)

    def list_permissions(self) -> list[Doc]:
        """Return every registered permission."""
        return [
            {"name": p.name, "title": p.title, "scope": p.scope}
            for p in sorted(self._ctx.permissions.values(), key=lambda p: p.name)
        ]

    def list_roles(self) -> list[Doc]:
        """Return the built-in roles with what they hold."""
        return [
            {"key": key, "title": title, "builtin": True, "permissions": sorted(self._permissions[key])}
            for key, (title, _) in ROLES.items()
        ]

    async def permissions_of(self, role_key: str, project_id: str) -> frozenset[str] | None:
        """Return what a role holds, None when there is no such role."""
        builtin = self._permissions.get(role_key)
        return builtin if builtin is not None else (await self._own_of(project_id)).get(role_key)

    async def permissions_in(self, actor: Actor, project_id: str) -> frozenset[str]:
        """Return what the actor may do in a project; the scopes of an API key narrow it."""
        role = await self.role_of(actor.user_id, project_id)
        held = await self._held(role or "", project_id)
        return held & actor.scopes if actor.scopes else held

    async def my_permissions(self, actor: Actor, project_id: str) -> Doc:
        """Return the actor's role in a project and what it holds."""
        held = await self.permissions_in(actor, project_id)
        return {"role": await self.role_of(actor.user_id, project_id), "permissions": sorted(held)}
