"""Changes of stored data, each applied once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Migration
from studio_stories.documents import word_count

if TYPE_CHECKING:
    from studio import Database, Doc


async def move_scripts(database: Database) -> None:
    """Move each script from its story to the story's version and count its words.

    Lists then read kilobytes less.
    """
    stories, versions = database["stories"], database["story_versions"]
    for found in await stories.find({"script_text": {"$exists": True}}, fields=("version",)):
        story: Doc = await stories.get(found["_id"]) or found
        text = str(story.get("script_text", ""))
        kept = {"story_id": story["_id"], "version": story["version"], "script_text": text}
        await versions.update(f"{story['_id']}:{story['version']}", {"$set": kept}, upsert=True)
        change = {"$set": {"word_count": word_count(text)}, "$unset": {"script_text": ""}}
        await stories.update(story["_id"], change)


MIGRATIONS = (Migration(1, "scripts move from stories to their versions; words are counted", move_scripts),)
