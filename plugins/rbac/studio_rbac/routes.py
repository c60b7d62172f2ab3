"""Routes of roles and permissions."""

from __future__ import annotations

from studio import SIGNED_IN, Route, project_in_body
from studio_rbac import handlers
from studio_rbac.models import (
    MyPermissions,
    PermissionAnswer,
    PermissionList,
    RoleList,
    RolePublic,
)

ROLES, ROLE = "/api/rbac/roles", "/api/rbac/roles/{role_id}"
WRITE = "project:roles"
MINE = "/api/rbac/projects/{project_id}/my-permissions"

ROUTES = [
    Route("GET", "/api/rbac/permissions", handlers.list_permissions, SIGNED_IN, returns=PermissionList),
    Route("GET", ROLES, handlers.list_roles, SIGNED_IN, returns=RoleList, also=(404,)),
    Route("POST", ROLES, handlers.create_role, WRITE, load=project_in_body, returns=RolePublic, status=201),
    Route("PATCH", ROLE, handlers.update_role, WRITE, load=handlers.load_role, returns=RolePublic),
    Route("DELETE", ROLE, handlers.delete_role, WRITE, load=handlers.load_role),
    Route("GET", MINE, handlers.get_my_permissions, "project:read", returns=MyPermissions),
    Route("POST", "/api/rbac/check", handlers.check_permission, SIGNED_IN, returns=PermissionAnswer),
]
