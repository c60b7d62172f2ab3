"""Handlers of the audit log."""

from __future__ import annotations

from studio import Page, PageQuery, Request
from studio_audit.models import AuditQuery
from studio_audit.service import AuditService


async def list_audit(request: Request, query: AuditQuery) -> Page:
    """List what was changed, newest first."""
    return await request.service(AuditService).list_audit(query)


async def list_project_audit(request: Request, project_id: str, query: PageQuery) -> Page:
    """List what was changed about a project and who works on it, newest first."""
    return await request.service(AuditService).list_project_audit(project_id, query)
