"""Handlers of roles and permissions."""

from __future__ import annotations

from studio import AccessQuery, Doc, Request, expect_rev
from studio_rbac.models import PermissionCheck, RoleCreate, RoleQuery, RoleUpdate
from studio_rbac.own import OwnRoleService
from studio_rbac.service import RoleService


async def list_permissions(request: Request) -> Doc:
    """List every right that a plugin has registered."""
    return {"items": request.service(RoleService).list_permissions()}


async def list_roles(request: Request, query: RoleQuery) -> Doc:
    """List the roles and what they hold, with `projectId` also the project's own."""
    found = request.service(RoleService).list_roles()
    if query.project_id:
        await request.ctx.auth.require(request.actor, "project:read", query.project_id)
        found += await request.service(OwnRoleService).list_roles(query.project_id)
    return {"items": found}


async def load_role(request: Request) -> Doc | None:
    """Return the role of the path, whose project decides who may change it."""
    return await request.service(OwnRoleService).role(request.path["role_id"])


async def create_role(request: Request, body: RoleCreate) -> Doc:
    """Make a role of a project's own, which holds no more than the caller does."""
    return await request.service(OwnRoleService).create_role(request.actor, body, request.once)


async def update_role(request: Request, target: Doc, body: RoleUpdate) -> Doc:
    """Change a role of a project's own; who has it may at once what it holds now."""
    if body.rev is None:
        body.rev = expect_rev(request)
    return await request.service(OwnRoleService).update_role(request.actor, target, body)


async def delete_role(request: Request, target: Doc) -> None:
    """Remove a role that nobody has and nobody is invited to."""
    await request.service(OwnRoleService).delete_role(request.actor, target)


async def get_my_permissions(request: Request, project_id: str) -> Doc:
    """Return the caller's role in a project and what it holds."""
    return await request.service(RoleService).my_permissions(request.actor, project_id)


async def check_permission(request: Request, body: PermissionCheck) -> Doc:
    """Say whether the caller may; a project they do not know of is a no like any other."""
    query = AccessQuery(request.actor, body.permission, body.project_id)
    decision = await request.service(RoleService).decide(query)
    return {"allowed": decision.allowed}
