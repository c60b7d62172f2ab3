"""Keeps and lists entries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from studio import Page, StudioError

if TYPE_CHECKING:
    from studio import Doc, PageQuery, PluginContext, Repository
    from studio_audit.models import AuditQuery
    from studio_audit.settings import AuditSettings

DAY_MS = 86_400_000


class AuditService:
    """Implements `studio_audit.api.AuditLog`."""

    def __init__(self, ctx: PluginContext, settings: AuditSettings) -> None:
        self._ctx, self._settings = ctx, settings

    async def keep(self, entry: Doc) -> None:
        """Store an entry; what cannot be stored is logged whole, and the change that it tells of stands."""
        gone = datetime.fromtimestamp((entry["at"] + self._settings.keep_days * DAY_MS) / 1000, UTC)
        try:
            await self._entries.insert(entry | {"expires_at": gone})
        except StudioError as error:
            self._ctx.log.error("audit_lost", entry=entry, error=error.detail)  # noqa: TRY400 - no traceback tells more

    async def list_audit(self, query: AuditQuery) -> Page:
        """Return a page of all entries that fit, newest first."""
        fields = {"actor.id": query.actor_id, "project_id": query.project_id, "target.id": query.target_id}
        fields |= {"action": query.action}
        return await self._page({name: value for name, value in fields.items() if value is not None}, query)

    async def list_project_audit(self, project_id: str, query: PageQuery) -> Page:
        """Return a page of a project's entries, newest first."""
        return await self._page({"project_id": project_id}, query)

    async def _page(self, where: Doc, query: PageQuery) -> Page:
        return await self._entries.page(where, cursor=query.cursor, limit=query.limit, newest_first=True)

    @property
    def _entries(self) -> Repository:
        return self._ctx.database["audit_log"]
