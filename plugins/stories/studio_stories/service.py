"""Stories, their versions and their content; what other plugins may ask stands in `studio_stories.api`.

A version is written before its content is laid out in the collections, and `settled` says that this was
finished: a process that dies in between loses nothing, the next reader lays the version out again.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from studio import (
    ConflictError,
    Doc,
    InvalidInputError,
    NotFoundError,
    new_id,
    now_ms,
)
from studio_stories.briefs import prompt_of
from studio_stories.documents import PARTS, Content, content_of, parsed_of, story_fields, times_of
from studio_stories.importer import parse_story, to_fdx, to_fountain
from studio_stories.planning import recoded
from studio_stories.settings import StoriesSettings
from studio_stories.stale import basis_of, marks
from studio_stories.versions import Change, check_rev, given, version_fields, version_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from studio import Actor, Page, PluginContext
    from studio_stories.api import ShotPrompt
    from studio_stories.importer import Format
    from studio_stories.models import StoryUpdate

SETTLE_AFTER_MS = 30_000
"""So long the writer of a version has it to itself; then whoever reads the story finishes the work."""
_VERSIONED = (
    "title",
    "author",
    "language",
    "format",
    "source",
    "word_count",
    "scene_count",
    "warnings",
)
_ATTEMPTS = 5


class StoryService:
    """Everything about a story as a whole; implements `Stories`."""

    def __init__(self, ctx: PluginContext) -> None:
        self.ctx = ctx
        self.settings = ctx.settings(StoriesSettings)

    # ------------------------------------------------------------ stories

    async def create_story(
        self,
        actor: Actor,
        project_id: str,
        data: bytes,
        filename: str,
        *,
        title: str | None = None,
        story_format: Format | None = None,
        once: str | None = None,
    ) -> Doc:
        """Import a file as a new story; a second run with the same `once` finds, or finishes, the first's.

        Raises what `parse_story` raises.
        """
        parsed = parse_story(
            data, filename, limit_bytes=self.settings.max_file_bytes, story_format=story_format
        )
        owner = {"story_id": once or new_id(), "project_id": project_id}
        content = content_of(parsed, owner)
        fields = story_fields(parsed, data)
        story: Doc = {
            "_id": owner["story_id"],
            "project_id": project_id,
            **fields,
            "title": title or fields["title"],
            "logline": "",
            "status": "draft",
            "deleted_at": None,
            **version_fields(1, "created", actor.user_id),
            "settled": True,
            "rev": 1,
        }
        if await self._write_version(story, content, parsed.script_text):
            if made := await self.ctx.database["stories"].get(story["_id"]):
                return made
            await self._clear(story["_id"])
        await self._insert(content)
        story = await self.ctx.database["stories"].insert(story)
        self.log(actor, "story.created", story, scenes=len(content.scenes))
        return story

    async def list_stories(self, project_id: str, *, cursor: str | None, limit: int) -> Page:
        """Return one page of a project's stories, newest first."""
        where = {"project_id": project_id, "deleted_at": None}
        return await self.ctx.database["stories"].page(where, cursor=cursor, limit=limit, newest_first=True)

    async def story(self, story_id: str) -> Doc:
        """Return a story; raises NotFoundError when it is gone."""
        story = await self.ctx.database["stories"].get(story_id)
        if story is None or story["deleted_at"] is not None:
            raise NotFoundError("There is no such story.")
        return story

    async def update_story(self, actor: Actor, story: Doc, edit: StoryUpdate, rev: int | None) -> Doc:
        """Change title, logline, language, or archive it."""
        check_rev(story, rev)
        fields = given(edit)
        if fields.get("status") and story["status"] == "breakdown":
            raise ConflictError("The breakdown is running; cancel its job first.", code="breakdown_running")
        updated = await self.change("stories", story, fields)
        self.log(actor, "story.updated", updated, fields=sorted(fields))
        return updated

    async def delete_story(self, actor: Actor, story: Doc) -> None:
        """Hide a story; its documents and takes stay."""
        await self.ctx.database["stories"].update(story["_id"], {"$set": {"deleted_at": now_ms()}})
        self.log(actor, "story.deleted", story)

    async def change(
        self, collection: str, doc: Doc, fields: Mapping[str, Any], unset: Doc | None = None
    ) -> Doc:
        """Set fields on the revision that was read and return the next one; raises ConflictError."""
        if not fields and not unset:
            return doc
        update: Doc = {"$set": dict(fields), "$inc": {"rev": 1}} | ({"$unset": unset} if unset else {})
        where = {"_id": doc["_id"], "rev": doc["rev"]}
        updated = await self.ctx.database[collection].find_and_update(where, update)
        if updated is None:
            raise ConflictError("Somebody changed this at the same moment. Reload it.", code="stale_revision")
        return updated

    def log(
        self, actor: Actor, action: str, target: Doc, *, job_id: str | None = None, **params: object
    ) -> None:
        """Log an activity; `name` is what the panel shows of its target."""
        name = str(
            target.get("title") or target.get("name") or target.get("code") or target.get("number") or ""
        )
        about = {"type": action.split(".", maxsplit=1)[0], "id": target["_id"], "name": name}
        params = {"name": name, "story_id": target.get("story_id", target["_id"]), **params}
        self.ctx.activity.log_activity(target["project_id"], actor, action, about, params, job_id)

    # ------------------------------------------------------------ versions

    async def import_story(
        self, actor: Actor, story: Doc, data: bytes, filename: str, story_format: Format | None = None
    ) -> Doc:
        """Replace the script.

        Scenes that did not change keep their shots, characters their colours and voices.
        """
        parsed = parse_story(
            data, filename, limit_bytes=self.settings.max_file_bytes, story_format=story_format
        )
        owner = {"story_id": story["_id"], "project_id": story["project_id"]}
        fields = story_fields(parsed, data) | {"title": story["title"], "status": "draft"}
        change = Change("imported", actor.user_id, fields, parsed.script_text)
        updated = await self.replace(story, lambda old: recoded(content_of(parsed, owner, old)), change)
        self.log(actor, "story.imported", updated, version=updated["version"], scenes=len(parsed.scenes))
        return updated

    async def list_versions(self, story: Doc) -> list[Doc]:
        """Return the kept versions, newest first, without their content."""
        fields = ("version", "reason", "author_id", "at", "title", "scene_count", "shot_count")
        found = await self.ctx.database["story_versions"].find(
            {"story_id": story["_id"], "version": {"$lte": story["version"]}},
            sort=[("version", -1)],
            fields=fields,
        )
        return [doc | {"current": doc["version"] == story["version"]} for doc in found]

    async def restore_version(self, actor: Actor, story: Doc, version: int) -> Doc:
        """Bring a version back as the next one, with the takes its shots had when it was left."""
        kept = await self.ctx.database["story_versions"].get(version_id(story["_id"], version))
        if kept is None or version > story["version"]:
            raise NotFoundError(f"This story has no version {version}.", code="version_not_found")
        fields = kept["fields"] | {"status": "ready" if kept["snapshot"]["shots"] else "draft"}
        change = Change("restored", actor.user_id, fields, kept["script_text"])
        updated = await self.replace(story, lambda _: Content(**kept["snapshot"]), change)
        self.log(actor, "story.restored", updated, version=version)
        return updated

    async def replace(self, story: Doc, build: Callable[[Content], Content], change: Change) -> Doc:
        """Make `build(old content)` the next version; raises ConflictError when somebody else was faster."""
        old = await self.content(story)
        content = build(deepcopy(old))
        script_text = change.script_text
        if script_text is None:
            script_text = await self.script_text(story)
        await self._write_version(story, old)
        number = story["version"] + 1
        fields = {**change.fields, **version_fields(number, change.reason, change.author_id)}
        fields |= {"settled": False, "scene_count": len(content.scenes)}
        await self._write_version(story | fields, content, script_text)
        updated = await self.change("stories", story, fields)
        await self._lay_out(updated, content)
        if number > self.settings.kept_versions:
            gone = {"story_id": story["_id"], "version": {"$lte": number - self.settings.kept_versions}}
            await self.ctx.database["story_versions"].delete(gone, many=True)
        return updated | {"settled": True}

    async def script_text(self, story: Doc) -> str:
        """Return the script as it was imported; it stands in the version, so that lists stay light."""
        found = await self.ctx.database["story_versions"].get(version_id(story["_id"], story["version"]))
        return str(found["script_text"]) if found else ""

    async def _write_version(self, story: Doc, content: Content, script_text: str | None = None) -> bool:
        """Keep a version; return whether it was there already."""
        fields = {
            "story_id": story["_id"],
            "project_id": story["project_id"],
            "version": story["version"],
            "reason": story["version_reason"],
            "author_id": story["version_by"],
            "at": story["version_at"],
            "title": story["title"],
            "scene_count": len(content.scenes),
            "shot_count": len(content.shots),
            "fields": {key: story[key] for key in _VERSIONED},
            "snapshot": content.parts(),
        }
        fields |= {} if script_text is None else {"script_text": script_text}
        versions = self.ctx.database["story_versions"]
        where = version_id(story["_id"], story["version"])
        return bool(await versions.update(where, {"$set": fields}, upsert=True))

    async def _lay_out(self, story: Doc, content: Content) -> None:
        await self._clear(story["_id"])
        await self._insert(content)
        mine = {"_id": story["_id"], "version": story["version"]}
        await self.ctx.database["stories"].update(mine, {"$set": {"settled": True}})

    async def _clear(self, story_id: str) -> None:
        for name in PARTS:
            await self.ctx.database[name].delete({"story_id": story_id}, many=True)

    async def _insert(self, content: Content) -> None:
        for name, documents in content.parts().items():
            if documents:
                await self.ctx.database[name].insert_many(documents)

    # ------------------------------------------------------------ content

    async def content(self, story: Doc) -> Content:
        """Return all content, five reads; finishes a version whose writer died."""
        if not story["settled"]:
            await self._settle(story)
        where = {"story_id": story["_id"]}
        return Content(**{name: await self.ctx.database[name].find(where) for name in PARTS}).sort()

    async def _settle(self, story: Doc) -> None:
        if now_ms() - story["version_at"] < SETTLE_AFTER_MS:
            raise ConflictError(
                "A new version of this story is being written; try again in a second.",
                code="story_busy",
                retry_after=1,
            )
        kept = await self.ctx.database["story_versions"].get(version_id(story["_id"], story["version"]))
        if kept is not None:
            await self._lay_out(story, Content(**kept["snapshot"]))

    async def tree(self, story: Doc) -> Doc:
        """Return the story with everything in it, shots with their status."""
        content = await self.content(story)
        return {"story": story, **content.parts(), "shots": [with_status(shot) for shot in content.shots]}

    async def export(self, story: Doc, export_format: str) -> Doc | str:
        """Write the story as it stands now: "fountain" and "fdx" as text, "json" as the tree."""
        if export_format == "json":
            return await self.tree(story)
        parsed = parsed_of(story, await self.content(story))
        return to_fdx(parsed) if export_format == "fdx" else to_fountain(parsed)

    async def part(self, name: str, document_id: str) -> Doc:
        """Return one scene, shot, character, location or prop; raises NotFoundError."""
        doc = await self.ctx.database[name].get(document_id)
        alive = doc and await self.ctx.database["stories"].count({"_id": doc["story_id"], "deleted_at": None})
        if doc is None or not alive:
            raise NotFoundError(f"There is no such {name[:-1]}.")
        return doc

    # ------------------------------------------------------------ for other plugins (studio_stories.api)

    async def scenes(self, story_id: str) -> list[Doc]:
        """Return the scenes in film order."""
        found = await self.ctx.database["scenes"].find({"story_id": story_id})
        return Content(scenes=found).sort().scenes

    async def shot(self, shot_id: str) -> Doc:
        """Return a shot; raises NotFoundError."""
        return await self.part("shots", shot_id)

    async def shots(self, story_id: str) -> list[Doc]:
        """Return the shots in film order."""
        found = await self.ctx.database["shots"].find({"story_id": story_id})
        return Content(scenes=await self.scenes(story_id), shots=found).sort().shots

    async def characters(self, story_id: str) -> list[Doc]:
        """Return the characters by name."""
        found = await self.ctx.database["characters"].find({"story_id": story_id})
        return Content(characters=found).sort().characters

    def basis(self, shot: Doc, slot: str) -> str:
        """Return a hash of what a take in `slot` is made from."""
        return basis_of(shot, slot)

    async def brief(self, shot: Doc) -> ShotPrompt:
        """Return what a panel of the shot must show."""
        scenes = await self.scenes(shot["story_id"])
        scene = next((scene for scene in scenes if scene["_id"] == shot["scene_id"]), None)
        if scene is None:
            raise NotFoundError("The scene of this shot is gone.")
        characters = {doc["_id"]: doc for doc in await self.characters(shot["story_id"])}
        cast = [characters[i] for i in shot["character_ids"] if i in characters]
        location = await self.ctx.database["locations"].get(shot["location_id"] or "")
        return prompt_of(shot, scene, cast, location, times_of(scenes)[scene["_id"]])

    async def set_current(
        self,
        shot_id: str,
        slot: str,
        asset_id: str,
        *,
        basis: str | None = None,
        why: str = "changed_while_generating",
    ) -> Doc:
        """Point a slot at an asset and clear its mark, in one update; see `Stories.set_current`."""
        for _ in range(_ATTEMPTS):
            shot = await self.shot(shot_id)
            _check_slot(shot, slot)
            change: Doc = {"$set": {f"current.{slot}": asset_id}}
            if basis is not None and basis != basis_of(shot, slot):
                seen = marks({"current": {slot: asset_id}}, [slot], why, now_ms())
                change["$set"] |= seen
            else:
                change["$unset"] = {f"stale.{slot}": ""}
            where = {"_id": shot_id, "rev": shot["rev"]}
            if updated := await self.ctx.database["shots"].find_and_update(where, change):
                return with_status(updated)
        raise ConflictError("The shot is being edited all the time; try again.", code="stale_revision")

    async def clear_current(self, shot_id: str, slot: str, asset_id: str) -> bool:
        """Empty a slot if it still points at `asset_id`."""
        where = {"_id": shot_id, f"current.{slot}": asset_id}
        unset = {f"current.{slot}": "", f"stale.{slot}": ""}
        return bool(await self.ctx.database["shots"].update(where, {"$unset": unset}))


def with_status(shot: Doc) -> Doc:
    """Return the shot with its status, which follows from its slots and the approval."""
    slots, lines = shot["current"], shot["lines"]
    voiced = bool(lines) and all(f"voice:{line['id']}" in slots for line in lines)
    if shot["approved"]:
        status = "approved"
    elif "panel" in slots:
        status = "voiced" if voiced else "boarded"
    else:
        status = "planned" if shot["description"] or lines else "empty"
    return shot | {"status": status}


def _check_slot(shot: Doc, slot: str) -> None:
    known = {"panel", "clip", *(f"voice:{line['id']}" for line in shot["lines"])}
    if slot not in known:
        raise InvalidInputError(
            f"Shot {shot['code']} has no slot {slot!r}.", code="unknown_slot", slots=sorted(known)
        )
