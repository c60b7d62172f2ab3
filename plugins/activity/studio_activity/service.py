"""Reads the log and puts it into words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from studio import Doc, Page, PluginContext

if TYPE_CHECKING:
    from studio import PageQuery

_PARAMETER = re.compile(r"\{(\w+)\}")


class FeedService:
    """The activity panel of a project."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx

    async def list_activities(self, project_id: str, query: PageQuery) -> Page:
        """Return one page, newest first."""
        page: Page = await self._ctx.database["projectActivities"].page(
            {"project_id": project_id}, cursor=query.cursor, limit=query.limit, newest_first=True
        )
        return Page([self.worded(activity) for activity in page.items], page.next_cursor)

    def worded(self, activity: Doc) -> Doc:
        """Return the activity with its `text`; an action whose plugin is off shows its code."""
        action = self._ctx.activity.actions.get(activity["action"])
        return activity | {
            "text": fill(action.label, activity.get("params") or {}) if action else activity["action"]
        }

    def list_actions(self) -> list[Doc]:
        """Return every registered action with its label, by code."""
        actions = self._ctx.activity.actions.values()
        return [
            {"code": a.code, "label": a.label, "category": a.category}
            for a in sorted(actions, key=lambda a: a.code)
        ]


def fill(label: str, params: Doc) -> str:
    """Put parameters into a label by plain substitution; a missing one stays as it is written."""

    def value(match: re.Match[str]) -> str:
        found = params.get(match[1], match[0])
        return ", ".join(map(str, found)) if isinstance(found, list) else str(found)

    return _PARAMETER.sub(value, label)
