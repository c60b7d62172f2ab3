"""The job kind "llm.breakdown": scenes to a provider, shots back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from studio import (
    Actor,
    ConflictError,
    Doc,
    InvalidInputError,
    JobKind,
    JobOrder,
    NotFoundError,
    StudioError,
    UnavailableError,
)
from studio_stories.api import Breakdown, BreakdownRequest, ScriptElement, ScriptScene
from studio_stories.documents import Content, times_of
from studio_stories.planning import plan
from studio_stories.versions import Change

if TYPE_CHECKING:
    from studio import Generation
    from studio_stories.service import StoryService

KIND = "llm.breakdown"
_WRITES = 3


class BreakdownService:
    """Starts breakdowns, builds their requests, stores their results."""

    def __init__(self, stories: StoryService) -> None:
        self.stories = stories
        self.ctx = stories.ctx

    def kind(self) -> JobKind:
        """Return the declaration for the job machine."""
        return JobKind(KIND, "Break a story down", "breakdown", self.request, self.accept, poll_s=2.0)

    async def estimate(self, story: Doc, provider: str | None, model: str | None) -> Doc:
        """Say what a breakdown would cost, without starting one."""
        content = await self._script(story)
        bound = self.ctx.providers.get("breakdown", provider, model)
        found = bound.estimate(_request("estimate", story, content, model))
        return {"scenes": len(content.scenes), "estimate_uusd": found.cost_uusd, "note": found.note}

    async def start(self, actor: Actor, story: Doc, provider: str | None, model: str | None) -> Doc:
        """Order the job.

        A breakdown of the same script that still runs is returned instead of a second one.
        """
        content = await self._script(story)
        order = JobOrder(
            kind=KIND,
            project_id=story["project_id"],
            target={"type": "story", "id": story["_id"], "slot": "breakdown"},
            input={"story_id": story["_id"], "scene_ids": [scene["_id"] for scene in content.scenes]},
            provider=provider,
            model=model,
            dedupe_hash=hashlib.sha256(f"{KIND}:{story['_id']}:{story['version']}".encode()).hexdigest(),
        )
        await self._set_status(
            story, "breakdown"
        )  # before the order: the job may be done before submit returns
        try:
            job = await self.ctx.jobs.submit(actor, order)
        except StudioError:
            await self._set_status(story, "ready" if content.shots else "draft", only_from="breakdown")
            raise
        self.stories.log(actor, "story.breakdown_started", story, job_id=job["_id"])
        return {
            "job_id": job["_id"],
            "state": job["state"],
            "scenes": len(content.scenes),
            "estimate_uusd": job.get("estimate_uusd"),
        }

    async def _script(self, story: Doc) -> Content:
        content = await self.stories.content(story)
        if not content.scenes:
            raise InvalidInputError("This story has no scenes: add one first.", code="story_without_scenes")
        return content

    async def _set_status(self, story: Doc, status: str, *, only_from: str | None = None) -> None:
        where = {"_id": story["_id"]} | ({"status": only_from} if only_from else {})
        await self.ctx.database["stories"].update(where, {"$set": {"status": status}})

    async def request(self, job: Doc) -> BreakdownRequest:
        """Build the provider's request from the stored scenes."""
        story = await self.stories.story(job["input"]["story_id"])
        content = await self.stories.content(story)
        wanted = set(job["input"]["scene_ids"])
        content.scenes = [scene for scene in content.scenes if scene["_id"] in wanted]
        if len(content.scenes) < len(wanted):
            raise ConflictError("The script changed before its breakdown began.", code="story_changed")
        content.scenes.sort(key=lambda scene: job["input"]["scene_ids"].index(scene["_id"]))
        return _request(job["_id"], story, content, job.get("model"))

    async def accept(self, job: Doc, generation: Generation, late: bool) -> dict[str, Any]:  # noqa: FBT001 - as JobKind asks
        """Make the breakdown the story's next version, once per job.

        A late or outdated one stays on the job.
        """
        breakdown = Breakdown.model_validate(generation.data["breakdown"])
        if late or not await self._apply(job, breakdown):
            await self.failed(job)
            return {"result": {"applied": False, "breakdown": breakdown.model_dump(mode="json")}}
        return {"result": {"applied": True, "shots": len(breakdown.shots)}}

    async def _apply(self, job: Doc, breakdown: Breakdown) -> bool:
        for _ in range(_WRITES):
            try:
                return await self._store(job, breakdown)
            except ConflictError:  # somebody edits the story: read it again
                continue
            except NotFoundError:
                return False
        raise UnavailableError(
            "The story is being edited all the time."
        )  # the result is kept and comes again

    async def _store(self, job: Doc, breakdown: Breakdown) -> bool:
        """Store the plan, once per job; False when the script is another one now."""
        story = await self.stories.story(job["input"]["story_id"])
        if story.get("breakdown_job_id") == job["_id"]:
            await self.stories.content(story)  # lays the version out if the first try died half-way
            return True
        scene_ids = job["input"]["scene_ids"]
        if not {scene["_id"] for scene in await self.stories.scenes(story["_id"])}.issuperset(scene_ids):
            return False
        change = Change("breakdown", job["user_id"], {"status": "ready", "breakdown_job_id": job["_id"]})
        updated = await self.stories.replace(
            story, lambda old: plan(old, breakdown, job["_id"], scene_ids), change
        )
        count = len(breakdown.shots)
        self.stories.log(
            Actor(job["user_id"]), "story.breakdown_finished", updated, job_id=job["_id"], shots=count
        )
        return True

    async def failed(self, job: Doc) -> None:
        """Put the story's status back after a breakdown that came to nothing."""
        story_id = job["input"]["story_id"]
        shots = await self.ctx.database["shots"].count({"story_id": story_id})
        await self._set_status({"_id": story_id}, "ready" if shots else "draft", only_from="breakdown")


def _request(job_id: str, story: Doc, content: Content, model: str | None) -> BreakdownRequest:
    times = times_of(content.scenes)
    scenes = tuple(_scene(scene, times[scene["_id"]]) for scene in content.scenes)
    return BreakdownRequest(
        job_id=job_id, model=model, title=story["title"], scenes=scenes, language=story["language"]
    )


def _scene(scene: Doc, time_of_day: str) -> ScriptScene:
    heading = scene["heading"]
    elements = tuple(
        ScriptElement(
            kind=e["kind"],
            text=e["text"],
            character=e["character"],
            parenthetical=e["parenthetical"],
            id=e["id"],
        )
        for e in scene["elements"]
    )
    return ScriptScene(
        number=scene["number"],
        int_ext=heading["int_ext"],
        location=heading["location_name"],
        time_of_day=time_of_day,
        elements=elements,
    )
