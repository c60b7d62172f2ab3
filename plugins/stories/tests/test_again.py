"""A process dies at any write of a creation, and the same request runs again: one object, and all of it."""

from __future__ import annotations

import functools

import pytest

from studio import ConflictError, new_id
from studio_stories.models import CharacterCreate, EntityCreate, Heading, SceneCreate, ShotCreate

pytestmark = pytest.mark.memory
WRITES = ("insert", "insert_many", "update", "find_and_update", "delete")
PARTS = ("stories", "story_versions", "scenes", "shots", "characters", "locations", "props")
KITCHEN = Heading(int_ext="INT", location_name="ATTIC", time_of_day="NIGHT")


class Died(BaseException):
    """The process is gone: nobody catches this."""


class Fate:
    """Counts the writes, and ends the process before or after one of them."""

    def __init__(self, stage, monkeypatch):
        self.left, self.after = -1, False
        for name in PARTS:
            for method in WRITES:
                inner = getattr(stage.database[name], method)
                monkeypatch.setattr(stage.database[name], method, functools.partial(self.write, inner))

    async def write(self, inner, *given, **more):
        self.left -= 1
        last = self.left == 0
        if last and not self.after:
            raise Died
        found = await inner(*given, **more)  # which may count writes of its own
        if last:
            raise Died
        return found


async def story(stage, once, home):
    return await stage.stories.create_story(
        stage.actor, "P1", b"INT. ROOM - DAY\n\nRain.\n", "a.txt", once=once
    )


async def scene(stage, once, home):
    new = SceneCreate(heading=KITCHEN, synopsis="x")
    return await stage.editing.create_scene(stage.actor, await stage.stories.story(home["_id"]), new, once)


async def shot(stage, once, home):
    first = (await stage.stories.scenes(home["_id"]))[0]
    return await stage.editing.create_shot(stage.actor, first, ShotCreate(description="x"), once)


async def character(stage, once, home):
    new = CharacterCreate(name="Ada")
    return await stage.cast.create_entity("characters", stage.actor, home, new, once)


async def prop(stage, once, home):
    return await stage.cast.create_entity("props", stage.actor, home, EntityCreate(name="Cup"), once)


async def counts(stage):
    found = {name: await stage.database[name].count({}) for name in PARTS}
    stories = await stage.database["stories"].find({})
    return found, sorted(story["scene_count"] for story in stories)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("create", [story, scene, shot, character, prop])
async def test_creation_that_broke_off_at_any_write_is_finished_by_the_second_run(
    stage, monkeypatch, create, after
):
    fate = Fate(stage, monkeypatch)
    home = await stage.create()
    fate.left = 1_000
    await create(stage, new_id(), home)
    writes, whole = 1_000 - fate.left, await counts(stage)
    for moment in range(1, writes + 1):
        fresh = type(stage)(**vars(stage))
        for name in PARTS:
            await fresh.database[name].delete({}, many=True)
        home, once = await fresh.create(), new_id()
        fate.left, fate.after = moment, after
        with pytest.raises(Died):
            await create(fresh, once, home)
        made = await create(fresh, once, home)
        again = await create(fresh, once, home)
        assert made["_id"] == again["_id"] == once
        assert await counts(fresh) == whole, f"died {'after' if after else 'before'} write {moment}"


async def test_name_that_another_request_took_stays_a_conflict(stage):
    home = await stage.create()
    await prop(stage, new_id(), home)
    with pytest.raises(ConflictError):
        await prop(stage, new_id(), home)
