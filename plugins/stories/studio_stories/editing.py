"""Edits of scenes and shots: order, lines that keep their ids, and what each edit leaves stale."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from studio import Doc, InvalidInputError, new_id, now_ms
from studio_stories.documents import duration_of, entity, present, scene_doc
from studio_stories.importer.headings import join_heading
from studio_stories.ordering import between, spread
from studio_stories.planning import letters, shot_doc
from studio_stories.service import StoryService, with_status
from studio_stories.stale import marks, stale_after_scene, stale_after_shot, voice_slot
from studio_stories.versions import check_rev, given

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from studio import Actor
    from studio_stories.models import Heading, Reorder, SceneCreate, SceneUpdate, ShotCreate, ShotUpdate


class EditingService:
    """Scenes and shots, one at a time."""

    def __init__(self, stories: StoryService) -> None:
        self.stories = stories
        self.ctx = stories.ctx

    # ------------------------------------------------------------ scenes

    async def create_scene(self, actor: Actor, story: Doc, new: SceneCreate, once: str | None = None) -> Doc:
        """Put a new scene behind `after_id`, or at the end; a second run with `once` finds the first's."""
        siblings = await self.stories.scenes(story["_id"])
        if made := next((scene for scene in siblings if scene["_id"] == once), None):
            counted = {"scene_count": len(siblings)}  # the first run may not have come so far
            await self.ctx.database["stories"].update(story["_id"], {"$set": counted})
            return made
        owner = {"story_id": story["_id"], "project_id": story["project_id"]}
        after = new.after_id or (siblings[-1]["_id"] if siblings else None)
        elements = _elements([element.model_dump() for element in new.elements])
        scene = scene_doc(
            owner,
            await self._place("scenes", siblings, after),
            _id=once or new_id(),
            number=_next_number(siblings),
            heading=_heading(new.heading),
            synopsis=new.synopsis,
            elements=elements,
            location_id=await self._location(owner, new.heading.location_name),
            character_ids=present(elements, await self.stories.characters(story["_id"])),
        )
        await self.ctx.database["scenes"].insert(scene)
        await self._count_scenes(story["_id"], 1)
        self.stories.log(actor, "scene.created", scene)
        return scene

    async def update_scene(self, actor: Actor, scene: Doc, edit: SceneUpdate, rev: int | None) -> Doc:
        """Edit a scene; its shots' pictures turn stale with the heading or mood, voices with their lines."""
        check_rev(scene, rev)
        fields: Doc = edit.model_dump(exclude_none=True, include={"synopsis", "mood", "lock"})
        if edit.heading:
            fields["heading"] = _heading(edit.heading)
            if edit.heading.location_name != scene["heading"]["location_name"]:
                owner = {key: scene[key] for key in ("story_id", "project_id")}
                fields["location_id"] = await self._location(owner, edit.heading.location_name)
        if edit.elements is not None:
            fields["elements"] = _elements(
                [element.model_dump() for element in edit.elements], scene["elements"]
            )
            fields["duration_ms_est"] = duration_of(fields["elements"])
            cast = await self.stories.characters(scene["story_id"])
            fields["character_ids"] = present(fields["elements"], cast)
        updated = await self.stories.change("scenes", scene, fields)
        await self._after_scene(scene, updated)
        self.stories.log(actor, "scene.updated", updated, fields=sorted(fields))
        return updated

    async def delete_scene(self, actor: Actor, scene: Doc) -> None:
        """Delete a scene with its shots; an older version of the story still has them."""
        await self.ctx.database["shots"].delete({"scene_id": scene["_id"]}, many=True)
        if await self.ctx.database["scenes"].delete(scene["_id"]):
            await self._count_scenes(scene["story_id"], -1)
        self.stories.log(actor, "scene.deleted", scene)

    async def reorder_scene(self, actor: Actor, scene: Doc, place: Reorder) -> Doc:
        """Move a scene behind another one, or to the front."""
        siblings = [s for s in await self.stories.scenes(scene["story_id"]) if s["_id"] != scene["_id"]]
        order = await self._place("scenes", siblings, place.after_id)
        updated = await self.stories.change("scenes", scene, {"order": order})
        self.stories.log(actor, "scene.reordered", updated)
        return updated

    async def _after_scene(self, before: Doc, after: Doc) -> None:
        """Carry an edited scene over to its shots: place, script of their lines, stale marks."""
        slots = stale_after_scene(before, after)
        told = {element["id"]: element for element in after["elements"]}
        spoken_before = {element["id"]: element for element in before["elements"]}
        moved = before["location_id"] != after["location_id"]
        if not (slots or moved or told != spoken_before):
            return
        for shot in await self.ctx.database["shots"].find({"scene_id": after["_id"]}):
            lines = [
                _told(line, spoken_before.get(line["id"]), told.get(line["id"])) for line in shot["lines"]
            ]
            fields: Doc = {} if lines == shot["lines"] else {"lines": lines}
            if moved and shot["location_id"] == before["location_id"]:
                fields["location_id"] = after["location_id"]
            stale = slots | stale_after_shot(shot, shot | fields)
            fields |= marks(shot, stale, "scene_edited", now_ms())
            await self.stories.change("shots", shot, fields)

    async def _location(self, owner: Mapping[str, str], name: str) -> str:
        locations = self.ctx.database["locations"]
        for location in await locations.find({"story_id": owner["story_id"]}):
            if location["name"].casefold() == name.casefold():
                return str(location["_id"])
        return str((await locations.insert(entity(name, owner)))["_id"])

    async def _count_scenes(self, story_id: str, by: int) -> None:
        await self.ctx.database["stories"].update(story_id, {"$inc": {"scene_count": by}})

    # ------------------------------------------------------------ shots

    async def create_shot(self, actor: Actor, scene: Doc, new: ShotCreate, once: str | None = None) -> Doc:
        """Put a new shot behind `after_id`, or at its scene's end; a second run with `once` finds the first's."""
        siblings = await self._siblings(scene["_id"])
        if made := next((shot for shot in siblings if shot["_id"] == once), None):
            return with_status(made)
        after = new.after_id or (siblings[-1]["_id"] if siblings else None)
        fields = given(new)
        shot = shot_doc(scene, once or new_id()) | fields | {"lines": _lines(fields.get("lines", []), [])}
        await self._check_references(shot)
        shot["code"] = _free_code(scene["number"], siblings)
        shot["order"] = await self._place("shots", siblings, after)
        await self.ctx.database["shots"].insert(shot)
        self.stories.log(actor, "shot.created", shot)
        return with_status(shot)

    async def update_shot(self, actor: Actor, shot: Doc, edit: ShotUpdate, rev: int | None) -> Doc:
        """Edit a shot: a changed line leaves only its voice stale, what is seen the panel and the clip."""
        check_rev(shot, rev)
        fields = given(edit)
        if "lines" in fields:
            fields["lines"] = _lines(fields["lines"], shot["lines"])
        after = shot | fields
        await self._check_references(after)
        slots = stale_after_shot(shot, after)
        gone = {line["id"] for line in shot["lines"]} - {line["id"] for line in after["lines"]}
        lost = [voice_slot(line_id) for line_id in gone if voice_slot(line_id) in shot["current"]]
        unset = {f"{member}.{slot}": "" for member in ("current", "stale") for slot in lost}
        reason = "line_edited" if all(slot.startswith("voice:") for slot in slots) else "shot_edited"
        change = fields | marks(shot, slots, reason, now_ms())
        updated = await self.stories.change("shots", shot, change, unset)
        await self._to_script(shot, updated)
        self.stories.log(actor, "shot.updated", updated, fields=sorted(fields), stale=sorted(slots))
        return with_status(updated)

    async def delete_shot(self, actor: Actor, shot: Doc) -> None:
        """Delete a shot; its lines stay in the script."""
        await self.ctx.database["shots"].delete(shot["_id"])
        self.stories.log(actor, "shot.deleted", shot)

    async def reorder_shot(self, actor: Actor, shot: Doc, place: Reorder) -> Doc:
        """Move a shot behind another one, in its scene or in another scene of the story."""
        scene_id = place.scene_id or shot["scene_id"]
        if scene_id != shot["scene_id"]:
            scene = await self.stories.part("scenes", scene_id)
            if scene["story_id"] != shot["story_id"]:
                raise InvalidInputError("That scene belongs to another story.", code="other_story")
        siblings = [s for s in await self._siblings(scene_id) if s["_id"] != shot["_id"]]
        order = await self._place("shots", siblings, place.after_id)
        updated = await self.stories.change("shots", shot, {"order": order, "scene_id": scene_id})
        self.stories.log(actor, "shot.reordered", updated)
        return with_status(updated)

    async def _siblings(self, scene_id: str) -> list[Doc]:
        return await self.ctx.database["shots"].find({"scene_id": scene_id}, sort=[("order", 1), ("_id", 1)])

    async def _check_references(self, shot: Doc) -> None:
        """Refuse ids of characters, locations and props that the story does not have."""
        asked = {
            "characters": {*shot["character_ids"], *(line["character_id"] for line in shot["lines"])}
            - {None},
            "locations": {shot["location_id"]} - {None},
            "props": set(shot["prop_ids"]),
        }
        for name, ids in asked.items():
            if ids:
                where = {"story_id": shot["story_id"]}
                known = await self.ctx.database[name].find(where, fields=("name",))
                if unknown := ids - {doc["_id"] for doc in known}:
                    raise InvalidInputError(
                        f"This story has no {name} {sorted(unknown)}.",
                        code="unknown_reference",
                        unknown=sorted(unknown),
                    )

    async def _to_script(self, before: Doc, after: Doc) -> None:
        """Write edited lines back into the scene, so that an export has them."""
        old = {line["id"]: line["text"] for line in before["lines"]}
        told = {
            line["id"]: line for line in after["lines"] if old.get(line["id"], line["text"]) != line["text"]
        }
        if not told:
            return
        scene = await self.stories.part("scenes", after["scene_id"])
        elements = [
            element | {"text": told[element["id"]]["text"]} if element["id"] in told else element
            for element in scene["elements"]
        ]
        if elements != scene["elements"]:
            fields = {"elements": elements, "duration_ms_est": duration_of(elements)}
            await self.stories.change("scenes", scene, fields)

    # ------------------------------------------------------------ order

    async def _place(self, collection: str, siblings: list[Doc], after_id: str | None) -> str:
        """Return the order between `after_id` (None.

        The front) and its follower; spreads them if there is no room.
        """
        ids = [doc["_id"] for doc in siblings]
        if after_id is not None and after_id not in ids:
            raise InvalidInputError("There is no such neighbour to put it behind.", code="unknown_neighbour")
        at = ids.index(after_id) + 1 if after_id is not None else 0
        orders = [doc["order"] for doc in siblings]
        if any(low >= high for low, high in pairwise(orders)):  # two writers met in one place
            orders = spread(len(siblings))
            for doc, order in zip(siblings, orders, strict=True):
                await self.ctx.database[collection].update(doc["_id"], {"$set": {"order": order}})
        return between(orders[at - 1] if at else None, orders[at] if at < len(orders) else None)


def _heading(heading: Heading) -> Doc:
    parts = heading.model_dump()
    parts["text"] = join_heading(heading.int_ext, heading.location_name.upper(), heading.time_of_day.upper())
    return parts


def _elements(given: Iterable[Doc], old: Iterable[Doc] = ()) -> list[Doc]:
    known = {element["id"] for element in old}
    return [element | {"id": element["id"] if element["id"] in known else new_id()} for element in given]


def _lines(given: Iterable[Doc], old: Iterable[Doc]) -> list[Doc]:
    """Give new lines an id.

    An id that the shot does not have is refused, for a voice may hang on it elsewhere.
    """
    known = {line["id"] for line in old}
    out: list[Doc] = []
    for line in given:
        if line["id"] is not None and line["id"] not in known:
            raise InvalidInputError(
                f"The shot has no line {line['id']}, or it is named twice. Leave the id out for a new line.",
                code="unknown_line",
            )
        known.discard(line["id"])
        out.append(line | {"id": line["id"] or new_id()})
    return out


def _told(line: Doc, before: Doc | None, now: Doc | None) -> Doc:
    """Return the line with what the script now says, if the script changed there."""
    changed: dict[str, Any] = {}
    for key in ("text", "parenthetical"):
        if before and now and before[key] != now[key]:
            changed[key] = now[key]
    return line | changed


def _next_number(scenes: Iterable[Doc]) -> str:
    numbers = {scene["number"] for scene in scenes}
    return str(next(n for n in range(len(numbers) + 1, 100_000) if str(n) not in numbers))


def _free_code(number: str, siblings: list[Doc]) -> str:
    taken = {shot["code"] for shot in siblings}
    codes = (f"{number}{letters(n)}" for n in range(len(siblings), 100_000))
    return next(code for code in codes if code not in taken)
