"""What older data lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Migration

if TYPE_CHECKING:
    from studio import Database

SLICE = 100


async def _name_owners(database: Database) -> None:
    """Say in each project who its owners are, and give each membership a revision."""
    projects = database["projects"]
    while found := await projects.find({"owner_ids": None}, limit=SLICE, fields=("owner_id",)):
        for project in found:
            await projects.update(project["_id"], {"$set": {"owner_ids": [project["owner_id"]]}})
    await database["collaborators"].update({"rev": None}, {"$set": {"rev": 1}}, many=True)


MIGRATIONS = (Migration(1, "a project names its owners, a membership has a revision", _name_owners),)
