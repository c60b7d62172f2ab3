"""Routes of roles and permissions."""

from __future__ import annotations

from studio import SIGNED_IN, Route
from studio_rbac import handlers
from studio_rbac.models import MyPermissions, PermissionAnswer, PermissionList, RoleList

MINE = "/api/rbac/projects/{project_id}/my-permissions"

ROUTES = [
    Route("GET", "/api/rbac/permissions", handlers.list_permissions, SIGNED_IN, returns=PermissionList),
    Route("GET", "/api/rbac/roles", handlers.list_roles, SIGNED_IN, returns=RoleList),
    Route("GET", MINE, handlers.get_my_permissions, "project:read", returns=MyPermissions),
    Route("POST", "/api/rbac/check", handlers.check_permission, SIGNED_IN, returns=PermissionAnswer),
]
