"""The rules: a project has clear weather until somebody says otherwise, and everybody in it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio import Actor, Doc, PluginContext
    from studio_weather.models import Kind

COLLECTION = "weather"
CHANGED = "weather.changed"


class WeatherService:
    """Keeps one document for each project, under the project's id."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx

    async def get_weather(self, project_id: str) -> Doc:
        """Return the weather over a project."""
        return await self._ctx.database[COLLECTION].get(project_id) or {"_id": project_id, "kind": "clear"}

    async def set_weather(self, project_id: str, kind: Kind, actor: Actor) -> Doc:
        """Change the weather; setting what is there already tells nobody."""
        before = await self.get_weather(project_id)
        if before["kind"] == kind:
            return before
        change = {"$set": {"kind": kind, "set_by": actor.user_id}}
        after = await self._ctx.database[COLLECTION].find_and_update(project_id, change, upsert=True)
        self._ctx.activity.log_activity(project_id, actor, CHANGED, params={"kind": kind})
        self._ctx.realtime.publish_room(f"project:{project_id}", CHANGED, {"kind": kind})
        return after or {"_id": project_id, "kind": kind, "set_by": actor.user_id}
