"""Routes of projects, collaborators and invitations."""

from __future__ import annotations

from studio import SIGNED_IN, Route
from studio_projects import handlers
from studio_projects.models import CollaboratorPublic, InvitationPublic, ProjectPublic

PROJECTS = "/api/workbench/projects"
PROJECT = PROJECTS + "/{project_id}"
COLLABORATORS = "/api/rbac/projects/{project_id}/collaborators"
COLLABORATOR = COLLABORATORS + "/{collaborator_id}"
INVITATION = "/api/rbac/invitations/{token}"

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
        handlers.invite_collaborator,
        "project:invite",
        returns=InvitationPublic,
        status=201,
        idempotent=False,
        rate="mail",
    ),
    Route(
        "POST",
        COLLABORATOR + "/resend",
        handlers.resend_invitation,
        "project:invite",
        returns=InvitationPublic,
        idempotent=False,
        rate="mail",
    ),
    Route("PATCH", COLLABORATOR, handlers.update_collaborator, "project:invite", returns=CollaboratorPublic),
    Route("DELETE", COLLABORATOR, handlers.remove_collaborator, "project:invite"),
    Route("POST", "/api/rbac/projects/{project_id}/leave", handlers.leave_project, SIGNED_IN),
    Route("POST", INVITATION + "/accept", handlers.accept_invitation, SIGNED_IN, returns=CollaboratorPublic),
    Route("POST", INVITATION + "/decline", handlers.decline_invitation, SIGNED_IN),
]
"""Answers with a link are not kept for an Idempotency-Key: of repeated invitations the address lets one through."""
