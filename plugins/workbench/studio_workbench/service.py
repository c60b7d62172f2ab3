"""Timelines, renders, exports and the dashboard."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from studio import ACTIVE, ConflictError, Doc, JobOrder, NotFoundError, new_id
from studio_asset_gen.api import Assets, Views
from studio_stories.api import Stories
from studio_workbench.cutting import differences
from studio_workbench.jobs import JOB, TIMELINES

if TYPE_CHECKING:
    from pathlib import Path

    from studio import Actor, Page, PluginContext, Repository
    from studio_asset_gen.api import StoryView
    from studio_workbench.cutting import Cut
    from studio_workbench.jobs import FilmKind
    from studio_workbench.models import RenderRequest, TimelineCreate, TimelineQuery

LAST_RENDERS = 5
SHOWN_JOBS = 50


class WorkbenchService:
    """What a project's workbench shows and makes."""

    def __init__(self, ctx: PluginContext, film: FilmKind) -> None:
        self._ctx, self._film = ctx, film

    @property
    def _timelines(self) -> Repository:
        return self._ctx.database[TIMELINES]

    async def _view(self, story_id: str) -> StoryView:
        views = self._ctx.service(Views)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        return await views.view(story_id)

    # ------------------------------------------------------------ timelines

    async def create_timeline(self, actor: Actor, body: TimelineCreate, once: str | None = None) -> Doc:
        """Cut a story, or some scenes of it, to a timeline; a second run with `once` finds the first's."""
        if once and (found := await self._timelines.get(once)):
            return found
        view = await self._view(body.story_id)
        made = await self._film.cut(view, {"scenes": body.scenes})
        scenes = f" ({body.scenes})" if body.scenes else ""
        timeline = await self._timelines.insert(
            {
                "_id": once or new_id(),
                "project_id": view.project["_id"],
                "story_id": view.story["_id"],
                "name": body.name or f"{view.story['title']}{scenes}",
                "scenes": body.scenes,
                "created_by": actor.user_id,
                "outputs": {},
                **dict.fromkeys(
                    ("render_asset_id", "render_basis", "render_content", "render_job_id", "rendered_at")
                ),
                **made.fields,
            }
        )
        self._log(actor, timeline, "timeline.created")
        return timeline

    async def timeline(self, timeline_id: str) -> Doc:
        """Return a timeline; raises NotFoundError."""
        found = await self._timelines.get(timeline_id)
        if found is None:
            raise NotFoundError("There is no such timeline.")
        return found

    async def list_timelines(self, query: TimelineQuery) -> Page:
        """Return one page, newest first."""
        where = {"project_id": query.project_id} | ({"story_id": query.story_id} if query.story_id else {})
        return await self._timelines.page(where, cursor=query.cursor, limit=query.limit, newest_first=True)

    async def delete_timeline(self, actor: Actor, timeline: Doc) -> None:
        """Forget a timeline; its renders stay as takes."""
        await self._timelines.delete(timeline["_id"])
        self._log(actor, timeline, "timeline.deleted")

    # ------------------------------------------------------------ renders

    async def render(self, actor: Actor, timeline: Doc, body: RenderRequest) -> Doc:
        """Cut the timeline anew and order its film; the same film under way is not ordered twice."""
        view = await self._view(timeline["story_id"])
        made = await self._film.cut(view, timeline)
        given = self._film.order_input(view, timeline, made, burn=body.burn_subtitles)
        given |= {"label": f"Film {timeline['name']}", "story_id": timeline["story_id"]}
        order = JobOrder(
            JOB,
            timeline["project_id"],
            {"type": "timeline", "id": timeline["_id"], "slot": "mp4"},
            given,
            provider=body.provider,
            model=body.model,
            dedupe_hash=f"film:{timeline['_id']}:{given['basis']}",
        )
        job = await self._ctx.jobs.submit(actor, order)
        if made.basis != timeline["basis_hash"]:
            await self._timelines.update(timeline["_id"], {"$set": made.fields})
        self._log(actor, timeline, "timeline.render_started", job["_id"])
        missing = {key: made.fields[key] for key in ("missing_panels", "missing_voices")}
        return {"job_id": job["_id"], "job": _job_row(job), "timeline_id": timeline["_id"], **missing}

    async def stale(self, timeline: Doc) -> Doc:
        """Say whether the last render still shows the story, and what changed."""
        rendered = timeline.get("rendered")
        if rendered is None:
            return {"rendered": False, "stale": True}
        made = await self._film.cut(await self._view(timeline["story_id"]), timeline)
        shots = differences(rendered["shots"], made.shots)
        return {
            "rendered": True,
            "stale": made.basis != timeline["render_content"],
            "shots": shots,
            "other": _other_changes(rendered, made),
        }

    async def export(self, timeline: Doc, wanted: str, *, allow_stale: bool) -> tuple[Doc, Path, str]:
        """Return asset, path and name of a rendered file; raises ConflictError with the way to get it."""
        render = [
            {
                "action": "render",
                "method": "POST",
                "path": f"/api/workbench/timelines/{timeline['_id']}/render",
            }
        ]
        if not timeline.get("render_asset_id"):
            raise ConflictError("This timeline was not rendered yet.", code="not_rendered", retry_with=render)
        if not allow_stale and (await self.stale(timeline))["stale"]:
            raise ConflictError(
                "The story changed after this render: render again, or ask with allowStale=true.",
                code="render_stale",
                retry_with=render,
            )
        asset_id = timeline["outputs"].get(wanted)
        offered = sorted(timeline["outputs"])
        if reason := timeline.get("skipped", {}).get(wanted):
            raise ConflictError(reason, code="format_unavailable", formats=offered)
        if asset_id is None:
            raise NotFoundError(f"This render has no {wanted}; it has {', '.join(offered)}.", formats=offered)
        assets = self._ctx.service(Assets)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        asset = (await assets.assets([asset_id])).get(asset_id)
        if asset is None:
            raise NotFoundError(f"This {wanted} was not released: render again.", code="not_released")
        return asset, await assets.path(asset), f"{_file_stem(timeline['name'])}.{wanted}"

    # ------------------------------------------------------------ dashboard

    async def dashboard(self, project_id: str) -> Doc:
        """Return how far each story is, the last renders, and what is being made."""
        stories = await self._ctx.database["stories"].find(
            {"project_id": project_id, "deleted_at": None}, sort=[("_id", -1)], fields=("title", "status")
        )
        jobs = await self._ctx.database["jobs"].find(
            {"project_id": project_id, "state": {"$in": list(ACTIVE)}}, sort=[("_id", -1)], limit=SHOWN_JOBS
        )
        renders = await self._timelines.find(
            {"project_id": project_id, "render_asset_id": {"$ne": None}},
            sort=[("rendered_at", -1)],
            limit=LAST_RENDERS,
        )
        return {
            "project_id": project_id,
            "stories": [await self._story_count(story) for story in stories],
            "renders": [row | {"timeline_id": row["_id"]} for row in renders],
            "active_jobs": [_job_row(job) for job in jobs],
        }

    async def _story_count(self, story: Doc) -> Doc:
        api = self._ctx.service(Stories)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        scenes, shots = await api.scenes(story["_id"]), await api.shots(story["_id"])
        lines = [(shot, f"voice:{line['id']}") for shot in shots for line in shot.get("lines", ())]
        return {
            "story_id": story["_id"],
            "title": story["title"],
            "status": story["status"],
            "shots": len(shots),
            "states": _states(shots),
            "panels": sum("panel" in (shot.get("current") or {}) for shot in shots),
            "voices": sum(slot in (shot.get("current") or {}) for shot, slot in lines),
            "lines": len(lines),
            "stale": sum(len(shot.get("stale") or {}) for shot in shots),
            "scenes": [_scene_count(scene, shots) for scene in scenes],
        }

    def _log(self, actor: Actor, timeline: Doc, action: str, job_id: str | None = None) -> None:
        about = {"type": "timeline", "id": timeline["_id"], "name": timeline["name"]}
        self._ctx.activity.log_activity(
            timeline["project_id"], actor, action, about, {"name": timeline["name"]}, job_id
        )


def _scene_count(scene: Doc, shots: list[Doc]) -> Doc:
    mine = [shot for shot in shots if shot["scene_id"] == scene["_id"]]
    heading = scene["heading"].get("text") or scene["heading"].get("location_name", "")
    row = {"scene_id": scene["_id"], "number": scene.get("number") or "", "heading": heading}
    return {**row, "shots": len(mine), "states": _states(mine)}


def _states(shots: list[Doc]) -> dict[str, int]:
    return dict(Counter(state_of(shot) for shot in shots))


def state_of(shot: Doc) -> str:
    """Return a shot's state: approved, voiced, boarded, planned or empty; it follows from its takes."""
    current, lines = shot.get("current") or {}, shot.get("lines") or []
    if shot.get("approved"):
        return "approved"
    if "panel" in current:
        voiced = bool(lines) and all(f"voice:{line['id']}" in current for line in lines)
        return "voiced" if voiced else "boarded"
    return "planned" if shot.get("description") or lines else "empty"


def _job_row(job: Doc) -> Doc:
    kept = ("kind", "state", "progress", "target", "batch_id", "created_at")
    return {"id": job["_id"]} | {key: job.get(key) for key in kept}


def _other_changes(rendered: Doc, made: Cut) -> list[str]:
    now = made.fields
    found = ["music"] if rendered["music_asset_id"] != now["music_asset_id"] else []
    if any(rendered[key] != now[key] for key in ("width", "height", "fps")):
        found.append("frame")
    before = [shot["shot_id"] for shot in rendered["shots"]]
    after = [shot["shot_id"] for shot in made.shots]
    common = set(before) & set(after)
    if [i for i in before if i in common] != [i for i in after if i in common]:
        found.append("order")
    return found


def _file_stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60] or "film"
