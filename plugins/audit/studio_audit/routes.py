"""Routes of the audit log: nothing writes, changes or removes an entry over HTTP."""

from __future__ import annotations

from studio import Route
from studio_audit import handlers
from studio_audit.models import AuditEntry

OF_PROJECT = "/api/audit/projects/{project_id}"

ROUTES = [
    Route("GET", "/api/audit", handlers.list_audit, "audit:read", returns=AuditEntry),
    Route("GET", OF_PROJECT, handlers.list_project_audit, "project:audit", returns=AuditEntry),
]
