"""Routes of projects and collaborators."""

from __future__ import annotations

from studio import SIGNED_IN, Route
from studio_projects import handlers
from studio_projects.models import CollaboratorPublic, ProjectPublic

PROJECTS = "/api/workbench/projects"
PROJECT = PROJECTS + "/{project_id}"
COLLABORATORS = "/api/rbac/projects/{project_id}/collaborators"
COLLABORATOR = COLLABORATORS + "/{collaborator_id}"

ROUTES = [
    Route("POST", PROJECTS, handlers.create_project, SIGNED_IN, returns=ProjectPublic, status=201),
    Route("GET", PROJECTS, handlers.list_projects, SIGNED_IN, returns=ProjectPublic),
    Route("GET", PROJECT, handlers.get_project, "project:read", returns=ProjectPublic),
    Route("PATCH", PROJECT, handlers.update_project, "project:write", returns=ProjectPublic),
    Route("DELETE", PROJECT, handlers.delete_project, "project:delete"),
    Route("GET", COLLABORATORS, handlers.list_collaborators, "project:read", returns=CollaboratorPublic),
    Route(
        "POST",
        COLLABORATORS,
        handlers.add_collaborator,
        "project:invite",
        returns=CollaboratorPublic,
        status=201,
    ),
    Route("PATCH", COLLABORATOR, handlers.update_collaborator, "project:invite", returns=CollaboratorPublic),
    Route("DELETE", COLLABORATOR, handlers.remove_collaborator, "project:invite"),
]
