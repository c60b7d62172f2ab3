"""Characters, locations and props of a story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from studio import ConflictError, Doc, now_ms
from studio_stories.documents import entity, new_character
from studio_stories.stale import marks, stale_after_entity, voice_slot
from studio_stories.versions import check_rev, given

if TYPE_CHECKING:
    from studio import Actor
    from studio_stories.models import CharacterCreate, CharacterUpdate, EntityCreate, EntityUpdate
    from studio_stories.service import StoryService

Kind = Literal["characters", "locations", "props"]
_MEMBER = {"characters": "character_ids", "locations": "location_id", "props": "prop_ids"}


class CastService:
    """The three kinds of entity; `kind` is the collection."""

    def __init__(self, stories: StoryService) -> None:
        self.stories = stories
        self.ctx = stories.ctx

    async def list_entities(self, kind: Kind, story: Doc) -> list[Doc]:
        """Return them by name."""
        found = await self.ctx.database[kind].find({"story_id": story["_id"]})
        return sorted(found, key=lambda doc: doc["name"].casefold())

    async def create_entity(
        self,
        kind: Kind,
        actor: Actor,
        story: Doc,
        new: EntityCreate | CharacterCreate,
        once: str | None = None,
    ) -> Doc:
        """Add one; a second run with the same `once` finds the first's.

        Raises ConflictError when the story has that name, in whatever case.
        """
        owner = {"story_id": story["_id"], "project_id": story["project_id"]}
        if kind == "characters":
            taken = [doc["colour"] for doc in await self.stories.characters(story["_id"])]
            doc = new_character(new.name, owner, taken)
        else:
            doc = entity(new.name, owner)
        doc |= given(new) | ({"_id": once} if once else {})
        try:
            await self.ctx.database[kind].insert(doc)
        except ConflictError:
            if made := await self.ctx.database[kind].get(doc["_id"]):
                return made
            raise
        self.stories.log(actor, f"{kind[:-1]}.created", doc)
        return doc

    async def update_entity(
        self, kind: Kind, actor: Actor, doc: Doc, edit: EntityUpdate | CharacterUpdate, rev: int | None
    ) -> Doc:
        """Edit one; pictures that show it turn stale, and a character's voices with another voice setting."""
        check_rev(doc, rev)
        fields = given(edit)
        if fields.get("name", doc["name"]) != doc["name"]:  # the script goes on calling it by its old name
            fields["aliases"] = sorted({*(fields.get("aliases") or doc["aliases"]), doc["name"]})
        updated = await self.stories.change(kind, doc, fields)
        await self._mark_stale(kind, doc, updated)
        self.stories.log(actor, f"{kind[:-1]}.updated", updated, fields=sorted(fields))
        return updated

    async def delete_entity(self, kind: Kind, actor: Actor, doc: Doc) -> None:
        """Delete one and take it out of its shots; its lines become the narrator's."""
        await self.ctx.database[kind].delete(doc["_id"])
        for shot in await self._shots_with(kind, doc):
            await self.stories.change("shots", shot, _without(kind, shot, doc["_id"]))
        if kind == "locations":
            where = {"story_id": doc["story_id"], "location_id": doc["_id"]}
            await self.ctx.database["scenes"].update(where, {"$set": {"location_id": None}}, many=True)
        if kind == "characters":
            where = {"story_id": doc["story_id"], "character_ids": doc["_id"]}
            await self.ctx.database["scenes"].update(
                where, {"$pull": {"character_ids": doc["_id"]}}, many=True
            )
        self.stories.log(actor, f"{kind[:-1]}.deleted", doc)

    async def _shots_with(self, kind: Kind, doc: Doc) -> list[Doc]:
        where: Doc = {_MEMBER[kind]: doc["_id"]}
        if kind == "characters":
            where = {"$or": [where, {"lines.character_id": doc["_id"]}]}
        return await self.ctx.database["shots"].find({"story_id": doc["story_id"], **where})

    async def _mark_stale(self, kind: Kind, before: Doc, after: Doc) -> None:
        slots = stale_after_entity(before, after)
        if not slots:
            return
        for shot in await self._shots_with(kind, after):
            shown = after["_id"] in (shot[_MEMBER[kind]] or ())
            mine = slots - {"voice"} if shown else set()
            if "voice" in slots:
                mine |= {voice_slot(x["id"]) for x in shot["lines"] if x["character_id"] == after["_id"]}
            if seen := marks(shot, mine, f"{kind[:-1]}_edited", now_ms()):
                await self.ctx.database["shots"].update(shot["_id"], {"$set": seen})


def _without(kind: Kind, shot: Doc, document_id: str) -> Doc:
    if kind == "locations":
        fields: Doc = {"location_id": None}
    else:
        fields = {_MEMBER[kind]: [i for i in shot[_MEMBER[kind]] if i != document_id]}
    if kind == "characters":
        fields["lines"] = [
            line | {"character_id": None} if line["character_id"] == document_id else line
            for line in shot["lines"]
        ]
    return fields | marks(shot, {"panel", "clip"}, f"{kind[:-1]}_deleted", now_ms())
