"""The rules of projects: who is in, in which role, and what may change."""

from __future__ import annotations

import re
import secrets
import unicodedata
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from studio import ConflictError, InvalidInputError, NotFoundError, Page, new_id
from studio_projects.api import MembershipListener, UserDirectory

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from studio import Actor, Doc, PageQuery, PluginContext, Repository
    from studio_projects.models import CollaboratorCreate, CollaboratorUpdate, ProjectCreate, ProjectUpdate

MAX_COLLABORATORS = 500
MAX_IN = 100
"""Most values of an `$in`."""
SLUG_TRIES = 3
_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


class ProjectService:
    """Projects and their collaborators; implements `studio_projects.api.Projects`."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._listeners: list[MembershipListener] = []

    def on_membership_change(self, listener: MembershipListener) -> None:
        """Call `listener(user_id, project_id)` after a membership was added, changed or removed."""
        self._listeners.append(listener)

    async def role_of(self, user_id: str, project_id: str) -> str | None:
        """Return the key of the user's role in a project that is not deleted, None for strangers."""
        member = await self._members.find_one(
            {"project_id": project_id, "user_id": user_id, "state": "active"}
        )
        if member is None or await self.project(project_id) is None:
            return None
        return str(member["role_key"])

    async def project(self, project_id: str) -> Doc | None:
        """Return a project that is not deleted."""
        return await self._projects.find_one({"_id": project_id, "deleted_at": None})

    async def get_project(self, project_id: str) -> Doc:
        """Return a project; raises NotFoundError."""
        project = await self.project(project_id)
        if project is None:
            raise NotFoundError
        return project

    async def projects_of(self, user_id: str) -> list[Doc]:
        """Return the projects of a user, newest first."""
        return [project async for project in self._visible(await self._ids_of(user_id))]

    async def list_projects(self, user_id: str, query: PageQuery) -> Page:
        """Return a page of a user's projects, newest first; the cursor is the last one's id."""
        if query.cursor is not None and not _ULID.fullmatch(query.cursor):
            raise InvalidInputError("This cursor is not ours; start without one.")
        ids = [i for i in await self._ids_of(user_id) if query.cursor is None or i < query.cursor]
        found: list[Doc] = []
        async with aclosing(self._visible(ids)) as visible:
            async for project in visible:
                found.append(project)
                if len(found) > query.limit:
                    break
        more = len(found) > query.limit
        return Page(found[: query.limit], found[query.limit - 1]["_id"] if more else None)

    async def _ids_of(self, user_id: str) -> list[str]:
        members = await self._members.find({"user_id": user_id, "state": "active"}, fields=("project_id",))
        return sorted((str(member["project_id"]) for member in members), reverse=True)

    async def _visible(self, ids: Sequence[str]) -> AsyncGenerator[Doc, None]:
        for start in range(0, len(ids), MAX_IN):
            wanted = {"_id": {"$in": ids[start : start + MAX_IN]}, "deleted_at": None}
            for project in await self._projects.find(wanted, sort=[("_id", -1)]):
                yield project

    async def create_project(self, actor: Actor, body: ProjectCreate, once: str | None = None) -> Doc:
        """Create a project whose owner is the actor; a second run with the same `once` finds the first's."""
        fields = {"_id": once or new_id(), "owner_id": actor.user_id, "status": "active"}
        project = await self._insert(body.model_dump() | fields | {"rev": 1, "deleted_at": None})
        user = await self._ctx.service(UserDirectory).user(actor.user_id)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        with suppress(ConflictError):  # the first run came as far as this
            await self._join(project["_id"], actor.user_id, str(user["email"]) if user else "", "owner")
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
        where: dict[str, Any] = {"_id": project_id, "deleted_at": None}
        if body.rev is not None:
            where["rev"] = body.rev
        project = await self._projects.find_and_update(where, {"$set": changes, "$inc": {"rev": 1}})
        if project is None:
            await self.get_project(project_id)
            raise ConflictError("Somebody else changed this project; read it again.", code="stale_revision")
        self._log_lifecycle(project, actor, "project.updated", {"fields": sorted(changes)})
        return project

    async def delete_project(self, actor: Actor, project_id: str, now: int) -> None:
        """Delete a project softly: it is gone for everybody, its data can be restored by an operator."""
        project = await self._projects.find_and_update(
            {"_id": project_id, "deleted_at": None}, {"$set": {"deleted_at": now, "status": "deleting"}}
        )
        if project is None:
            raise NotFoundError
        for member in await self._members.find({"project_id": project_id}, fields=("user_id",)):
            await self._changed(member["user_id"], project_id)
        self._log_lifecycle(project, actor, "project.deleted")

    async def list_collaborators(self, project_id: str, query: PageQuery) -> Page:
        """Return a page of the active members, oldest first."""
        active = {"project_id": project_id, "state": "active"}
        return await self._members.page(active, cursor=query.cursor, limit=query.limit)

    async def add_collaborator(self, actor: Actor, project_id: str, body: CollaboratorCreate) -> Doc:
        """Add a user by address; raises InvalidInputError when nobody has signed in with it."""
        user = await self._ctx.service(UserDirectory).user_by_email(str(body.email))  # type: ignore[type-abstract]  # as above
        if user is None:
            raise InvalidInputError(
                "Nobody has signed in with this address yet: ask them to sign in once, then add them.",
                code="user_unknown",
            )
        if await self._members.count({"project_id": project_id, "state": "active"}) >= MAX_COLLABORATORS:
            raise ConflictError(f"A project takes at most {MAX_COLLABORATORS} collaborators.")
        member = await self._join(project_id, user["_id"], user["email"], body.role_key)
        self._log(project_id, actor, "collaborator.added", {"email": user["email"], "role": body.role_key})
        return member

    async def update_collaborator(
        self, actor: Actor, project_id: str, collaborator_id: str, body: CollaboratorUpdate
    ) -> Doc:
        """Give a member another role; the owner of the project keeps theirs."""
        member = await self._change_member(project_id, collaborator_id, {"role_key": body.role_key})
        params = {"email": member["email"], "role": body.role_key}
        self._log(project_id, actor, "collaborator.changed", params)
        return member

    async def remove_collaborator(self, actor: Actor, project_id: str, collaborator_id: str) -> None:
        """Remove a member at once; the owner cannot be removed.

        Their open sockets are closed: on coming back they join only what they still may.
        """
        member = await self._change_member(project_id, collaborator_id, {"state": "removed"})
        await self._ctx.realtime.disconnect(member["user_id"])
        self._log(project_id, actor, "collaborator.removed", {"email": member["email"]})

    async def _change_member(self, project_id: str, collaborator_id: str, fields: Doc) -> Doc:
        owner = (await self.get_project(project_id))["owner_id"]
        where = {"_id": collaborator_id, "project_id": project_id, "state": "active"}
        member = await self._members.find_and_update(where | {"user_id": {"$ne": owner}}, {"$set": fields})
        if member is not None:
            await self._changed(member["user_id"], project_id)
            return member
        if await self._members.find_one(where):
            raise ConflictError("The owner of a project stays its owner.", code="owner_stays")
        raise NotFoundError

    @property
    def _projects(self) -> Repository:
        return self._ctx.database["projects"]

    @property
    def _members(self) -> Repository:
        return self._ctx.database["collaborators"]

    async def _join(self, project_id: str, user_id: str, email: str, role_key: str) -> Doc:
        """Make somebody an active member, in one step; raises ConflictError when they are one."""
        pair = {"project_id": project_id, "user_id": user_id}
        fields = {"email": email, "role_key": role_key, "state": "active"}
        try:
            member = await self._members.find_and_update(
                pair | {"state": {"$ne": "active"}}, {"$set": fields}, upsert=True
            )
        except ConflictError:
            raise ConflictError("They are a collaborator already.", code="collaborator_exists") from None
        await self._changed(user_id, project_id)
        return member or {}

    async def _changed(self, user_id: str, project_id: str) -> None:
        for listener in self._listeners:
            await listener(user_id, project_id)

    def _log(self, project_id: str, actor: Actor, action: str, params: Doc) -> None:
        self._ctx.activity.log_activity(project_id, actor, action, params=params)

    def _log_lifecycle(self, project: Doc, actor: Actor, action: str, params: Doc | None = None) -> None:
        self._ctx.activity.log_project_lifecycle_activity(project, actor, action, params)


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return f"{re.sub(r'[^a-z0-9]+', '-', plain).strip('-')[:60] or 'project'}-{secrets.token_hex(4)}"
