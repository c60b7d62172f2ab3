"""Handlers of roles and permissions."""

from __future__ import annotations

from studio import AccessQuery, Doc, Request
from studio_rbac.models import PermissionCheck
from studio_rbac.service import RoleService


async def list_permissions(request: Request) -> Doc:
    """List every right that a plugin has registered."""
    return {"items": request.service(RoleService).list_permissions()}


async def list_roles(request: Request) -> Doc:
    """List the roles and what they hold."""
    return {"items": request.service(RoleService).list_roles()}


async def get_my_permissions(request: Request, project_id: str) -> Doc:
    """Return the caller's role in a project and what it holds."""
    return await request.service(RoleService).my_permissions(request.actor, project_id)


async def check_permission(request: Request, body: PermissionCheck) -> Doc:
    """Say whether the caller may; a project they do not know of is a no like any other."""
    query = AccessQuery(request.actor, body.permission, body.project_id)
    decision = await request.service(RoleService).decide(query)
    return {"allowed": decision.allowed}
