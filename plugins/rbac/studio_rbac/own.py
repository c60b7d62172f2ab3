"""Roles that a project makes for itself. Nobody makes, changes or removes one that holds more than they do."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from studio import ConflictError, ForbiddenError, InvalidInputError, new_id
from studio_audit.api import audit, differences
from studio_projects.api import Projects
from studio_rbac.roles import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import Actor, Doc, PluginContext, Repository
    from studio_rbac.models import RoleCreate, RoleUpdate
    from studio_rbac.service import RoleService

MAX_ROLES = 50
SEES = "project:read"
"""What every role holds: who is in a project sees it."""


class OwnRoleService:
    """Makes, changes and removes the roles of projects."""

    def __init__(self, ctx: PluginContext, roles: RoleService) -> None:
        self._ctx, self._roles = ctx, roles
        self._projects = ctx.service(Projects)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    async def role(self, role_id: str) -> Doc | None:
        """Return a role of a project's own."""
        return await self._stored.get(role_id)

    async def list_roles(self, project_id: str) -> list[Doc]:
        """Return a project's own roles with what they hold, in the order of their making."""
        found = await self._stored.find({"project_id": project_id}, sort=[("_id", 1)])
        return [shown(role) for role in found]

    async def create_role(self, actor: Actor, body: RoleCreate, once: str | None = None) -> Doc:
        """Make a role; a second run with the same `once` finds the first's.

        Raises ForbiddenError (`role_above_own`), InvalidInputError, ConflictError (`role_exists`, `too_many_roles`).
        """
        held = self._checked(body.permissions)
        await self._require_power(actor, body.project_id, held)
        if await self._stored.count({"project_id": body.project_id}) >= MAX_ROLES:
            raise ConflictError(
                f"A project takes at most {MAX_ROLES} roles of its own.", code="too_many_roles"
            )
        fields = {"_id": once or new_id(), "rev": 1, "permissions": held}
        role = await self._insert(body.model_dump() | fields)
        self._changed(role, actor, "role.created")
        told = {"title": role["title"], "permissions": held}
        await self._audit(role, actor, "role.created", after=told)
        return shown(role)

    async def _insert(self, role: Doc) -> Doc:
        try:
            if role["key"] not in ROLES:
                return await self._stored.insert(role)
        except ConflictError:  # of the key, or of the `_id` when a run is repeated
            if found := await self._stored.get(role["_id"]):
                return found
        raise ConflictError("This project has a role of that key.", code="role_exists")

    async def update_role(self, actor: Actor, role: Doc, body: RoleUpdate) -> Doc:
        """Change a role; raises ConflictError when somebody else has since it was read, or since `rev`."""
        changes: dict[str, Any] = body.model_dump(exclude_unset=True, exclude={"rev"}, exclude_none=True)
        if not changes:
            raise InvalidInputError("Name at least one field to change.")
        if body.permissions is not None:
            changes["permissions"] = self._checked(body.permissions)
        await self._require_power(actor, role["project_id"], role["permissions"], changes.get("permissions"))
        where = {"_id": role["_id"], "rev": role["rev"] if body.rev is None else body.rev}
        changed = await self._stored.find_and_update(where, {"$set": changes, "$inc": {"rev": 1}})
        if changed is None:
            raise ConflictError("Somebody else changed this role; read it again.", code="stale_revision")
        self._changed(changed, actor, "role.changed")
        await self._audit(changed, actor, "role.changed", **differences(role, changed, changes))
        return shown(changed)

    async def delete_role(self, actor: Actor, role: Doc) -> None:
        """Remove a role; raises ConflictError (`role_in_use`) while somebody has it or is invited to it.

        Whoever is given it in the same moment is left with a role that holds nothing.
        """
        await self._require_power(actor, role["project_id"], role["permissions"])
        if await self._projects.holders_of(role["key"], role["project_id"]):
            message = "Somebody has this role: give them another one first."
            raise ConflictError(message, code="role_in_use")
        if not await self._stored.delete({"_id": role["_id"], "rev": role["rev"]}):
            raise ConflictError("Somebody else changed this role; read it again.", code="stale_revision")
        self._changed(role, actor, "role.deleted")
        told = {"title": role["title"], "permissions": role["permissions"]}
        await self._audit(role, actor, "role.deleted", before=told)

    def _checked(self, names: Iterable[str]) -> list[str]:
        """Return what a role with these permissions holds; raises InvalidInputError for one that is none."""
        known = [name for name, permission in self._ctx.permissions.items() if permission.scope == "project"]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f", did you mean {near[0]}?" if near else ": see GET /api/rbac/permissions"
                message = f"{name[:100]} is no permission in a project{hint}"
                raise InvalidInputError(
                    "The body is wrong.", errors=[{"pointer": "/permissions", "message": message}]
                )
        return sorted({*names, SEES})

    async def _require_power(self, actor: Actor, project_id: str, *permissions: Iterable[str] | None) -> None:
        held = await self._roles.permissions_in(actor, project_id)
        if not frozenset().union(*filter(None, permissions)) <= held:
            message = "This role may do more than you: ask somebody who has it."
            raise ForbiddenError(message, code="role_above_own")

    def _changed(self, role: Doc, actor: Actor, action: str) -> None:
        self._roles.forget_roles(role["project_id"])
        self._ctx.activity.log_activity(role["project_id"], actor, action, params={"title": role["title"]})

    async def _audit(self, role: Doc, actor: Actor, action: str, **told: Any) -> None:
        await audit(self._ctx, actor, action, ("role", role["_id"]), project_id=role["project_id"], **told)

    @property
    def _stored(self) -> Repository:
        return self._ctx.database["roles"]


def shown(role: Doc) -> Doc:
    """Return a role of a project's own as it is shown beside the built-in ones."""
    return role | {"id": role["_id"], "builtin": False}
