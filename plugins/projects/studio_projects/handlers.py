"""Handlers of projects and collaborators."""

from __future__ import annotations

from studio import Doc, Page, PageQuery, Request, expect_rev, now_ms
from studio_projects.models import CollaboratorCreate, CollaboratorUpdate, ProjectCreate, ProjectUpdate
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


async def list_collaborators(request: Request, project_id: str, query: PageQuery) -> Page:
    """List who works on a project, oldest first."""
    return await request.service(ProjectService).list_collaborators(project_id, query)


async def add_collaborator(request: Request, project_id: str, body: CollaboratorCreate) -> Doc:
    """Add a collaborator who has signed in before."""
    return await request.service(ProjectService).add_collaborator(request.actor, project_id, body)


async def update_collaborator(
    request: Request, project_id: str, collaborator_id: str, body: CollaboratorUpdate
) -> Doc:
    """Give a collaborator another role."""
    service = request.service(ProjectService)
    return await service.update_collaborator(request.actor, project_id, collaborator_id, body)


async def remove_collaborator(request: Request, project_id: str, collaborator_id: str) -> None:
    """Remove a collaborator."""
    await request.service(ProjectService).remove_collaborator(request.actor, project_id, collaborator_id)
