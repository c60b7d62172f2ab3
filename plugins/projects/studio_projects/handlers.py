"""Handlers of projects, collaborators and invitations."""

from __future__ import annotations

from studio import Doc, Page, PageQuery, Request, expect_rev, now_ms
from studio_projects.invitations import InvitationService
from studio_projects.members import MemberService
from studio_projects.models import (
    CollaboratorCreate,
    CollaboratorQuery,
    CollaboratorUpdate,
    ProjectCreate,
    ProjectUpdate,
)
from studio_projects.service import ProjectService


async def create_project(request: Request, body: ProjectCreate) -> Doc:
    """Create a project."""
    return await request.service(ProjectService).create_project(request.actor, body, request.once)


async def list_projects(request: Request, query: PageQuery) -> Page:
    """List the caller's projects, newest first."""
    return await request.service(ProjectService).list_projects(request.actor.user_id, query)


async def get_project(request: Request, project_id: str) -> Doc:
    """Return a project."""
    return await request.service(ProjectService).get_project(project_id)


async def update_project(request: Request, project_id: str, body: ProjectUpdate) -> Doc:
    """Change a project; the revision to change stands in the body or in If-Match."""
    if body.rev is None:
        body.rev = expect_rev(request)
    return await request.service(ProjectService).update_project(request.actor, project_id, body)


async def delete_project(request: Request, project_id: str) -> None:
    """Delete a project."""
    await request.service(ProjectService).delete_project(request.actor, project_id, now_ms())


async def list_collaborators(request: Request, project_id: str, query: CollaboratorQuery) -> Page:
    """List who works on a project or is invited to it, oldest first."""
    return await request.service(MemberService).list_members(project_id, query)


async def invite_collaborator(request: Request, project_id: str, body: CollaboratorCreate) -> Doc:
    """Invite somebody by address; without a plugin that mails, the answer has the link to hand on."""
    return await request.service(InvitationService).invite(request.actor, project_id, body)


async def resend_invitation(request: Request, project_id: str, collaborator_id: str) -> Doc:
    """Send an invitation again, with a new link."""
    return await request.service(InvitationService).resend(request.actor, project_id, collaborator_id)


async def update_collaborator(
    request: Request, project_id: str, collaborator_id: str, body: CollaboratorUpdate
) -> Doc:
    """Give a collaborator another role; the revision to change stands in the body or in If-Match."""
    if body.rev is None:
        body.rev = expect_rev(request)
    service = request.service(MemberService)
    return await service.update_member(request.actor, project_id, collaborator_id, body)


async def remove_collaborator(request: Request, project_id: str, collaborator_id: str) -> None:
    """Remove a collaborator or withdraw an invitation."""
    await request.service(MemberService).remove_member(request.actor, project_id, collaborator_id)


async def leave_project(request: Request, project_id: str) -> None:
    """End the caller's own part in a project."""
    await request.service(MemberService).leave(request.actor, project_id)


async def accept_invitation(request: Request, token: str) -> Doc:
    """Join a project that the caller's address was invited to."""
    return await request.service(InvitationService).accept(request.actor, token)


async def decline_invitation(request: Request, token: str) -> None:
    """Say no to an invitation."""
    await request.service(InvitationService).decline(request.actor, token)
