"""The rules of projects: who sees them, and what may change."""

from __future__ import annotations

import re
import secrets
import unicodedata
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from studio import ConflictError, InvalidInputError, NotFoundError, Page, new_id
from studio_audit.api import audit, differences
from studio_projects.api import UserDirectory

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from studio import Actor, Doc, PageQuery, PluginContext, Repository
    from studio_projects.members import MemberService
    from studio_projects.models import ProjectCreate, ProjectUpdate

MAX_IN = 100
"""Most values of an `$in`."""
SLUG_TRIES = 3
_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


class ProjectService:
    """Projects; implements `studio_projects.api.Projects` together with `MemberService`."""

    def __init__(self, ctx: PluginContext, members: MemberService) -> None:
        self._ctx, self._members = ctx, members
        self.project = members.project
        self.role_of = members.role_of
        self.holders_of = members.holders_of
        self.on_membership_change = members.on_membership_change

    async def get_project(self, project_id: str) -> Doc:
        """Return a project; raises NotFoundError."""
        project = await self._members.project(project_id)
        if project is None:
            raise NotFoundError
        return project

    async def projects_of(self, user_id: str) -> list[Doc]:
        """Return the projects of a user, newest first."""
        return [project async for project in self._visible(await self._members.project_ids_of(user_id))]

    async def list_projects(self, user_id: str, query: PageQuery) -> Page:
        """Return a page of a user's projects, newest first; the cursor is the last one's id."""
        if query.cursor is not None and not _ULID.fullmatch(query.cursor):
            raise InvalidInputError("This cursor is not ours; start without one.")
        ids = await self._members.project_ids_of(user_id)
        ids = [i for i in ids if query.cursor is None or i < query.cursor]
        found: list[Doc] = []
        async with aclosing(self._visible(ids)) as visible:
            async for project in visible:
                found.append(project)
                if len(found) > query.limit:
                    break
        more = len(found) > query.limit
        return Page(found[: query.limit], found[query.limit - 1]["_id"] if more else None)

    async def _visible(self, ids: Sequence[str]) -> AsyncGenerator[Doc, None]:
        for start in range(0, len(ids), MAX_IN):
            wanted = {"_id": {"$in": ids[start : start + MAX_IN]}, "deleted_at": None}
            for project in await self._projects.find(wanted, sort=[("_id", -1)]):
                yield project

    async def create_project(self, actor: Actor, body: ProjectCreate, once: str | None = None) -> Doc:
        """Create a project whose owner is the actor; a second run with the same `once` finds the first's."""
        owner = actor.user_id
        fields = {"_id": once or new_id(), "owner_id": owner, "owner_ids": [owner], "status": "active"}
        project = await self._insert(body.model_dump() | fields | {"rev": 1, "deleted_at": None})
        user = await self._ctx.service(UserDirectory).user(actor.user_id)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        with suppress(ConflictError):  # the first run came as far as this
            await self._members.join_as_owner(project["_id"], owner, str(user["email"]) if user else "")
        self._log_lifecycle(project, actor, "project.created")
        return project

    async def _insert(self, project: Doc) -> Doc:
        for _ in range(SLUG_TRIES):
            try:
                return await self._projects.insert(project | {"slug": _slug(project["name"])})
            except ConflictError:  # of the slug, or of the `_id` when a run is repeated
                if found := await self._projects.get(project["_id"]):
                    return found
        raise ConflictError("This name is taken too often; choose another.", code="slug_taken")

    async def update_project(self, actor: Actor, project_id: str, body: ProjectUpdate) -> Doc:
        """Change a project; raises ConflictError when `rev` is not the stored one."""
        changes = body.model_dump(exclude_unset=True, exclude={"rev"}, exclude_none=True)
        if not changes:
            raise InvalidInputError("Name at least one field to change.")
        before = await self.get_project(project_id)
        where: dict[str, Any] = {"_id": project_id, "deleted_at": None}
        if body.rev is not None:
            where["rev"] = body.rev
        project = await self._projects.find_and_update(where, {"$set": changes, "$inc": {"rev": 1}})
        if project is None:
            await self.get_project(project_id)
            raise ConflictError("Somebody else changed this project; read it again.", code="stale_revision")
        self._log_lifecycle(project, actor, "project.updated", {"fields": sorted(changes)})
        told = differences(before, project, changes)
        await audit(
            self._ctx, actor, "project.updated", ("project", project_id), project_id=project_id, **told
        )
        return project

    async def delete_project(self, actor: Actor, project_id: str, now: int) -> None:
        """Delete a project softly: it is gone for everybody, its data can be restored by an operator."""
        project = await self._projects.find_and_update(
            {"_id": project_id, "deleted_at": None}, {"$set": {"deleted_at": now, "status": "deleting"}}
        )
        if project is None:
            raise NotFoundError
        members = await self._members.members.find({"project_id": project_id, "state": "active"})
        await self._members.tell(project_id, [member["user_id"] for member in members])
        self._log_lifecycle(project, actor, "project.deleted")
        gone = {"name": project["name"]}
        await audit(
            self._ctx, actor, "project.deleted", ("project", project_id), project_id=project_id, before=gone
        )

    @property
    def _projects(self) -> Repository:
        return self._ctx.database["projects"]

    def _log_lifecycle(self, project: Doc, actor: Actor, action: str, params: Doc | None = None) -> None:
        self._ctx.activity.log_project_lifecycle_activity(project, actor, action, params)


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return f"{re.sub(r'[^a-z0-9]+', '-', plain).strip('-')[:60] or 'project'}-{secrets.token_hex(4)}"
