"""Who works on a project and in which role. Nobody gives or takes what they lack; a project keeps an owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio import ConflictError, ForbiddenError, InvalidInputError, NotFoundError, Page, new_id, now_ms
from studio_audit.api import audit
from studio_projects.api import MembershipListener, RoleBook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import Actor, Doc, PluginContext, Repository
    from studio_projects.models import CollaboratorQuery, CollaboratorUpdate

OWNER = "owner"
OWNER_TRIES = 5


class MemberService:
    """Memberships: reading them, changing them, ending them."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._listeners: list[MembershipListener] = []

    def on_membership_change(self, listener: MembershipListener) -> None:
        """Call `listener(user_id, project_id)` after a membership was added, changed or removed."""
        self._listeners.append(listener)

    async def role_of(self, user_id: str, project_id: str) -> str | None:
        """Return the key of the user's role in a project that is not deleted, None for strangers."""
        member = await self.members.find_one(
            {"project_id": project_id, "user_id": user_id, "state": "active"}
        )
        if member is None or await self.project(project_id) is None:
            return None
        return str(member["role_key"])

    async def project(self, project_id: str) -> Doc | None:
        """Return a project that is not deleted."""
        return await self._projects.find_one({"_id": project_id, "deleted_at": None})

    async def project_ids_of(self, user_id: str) -> list[str]:
        """Return the ids of a user's projects, newest first."""
        members = await self.members.find({"user_id": user_id, "state": "active"}, fields=("project_id",))
        return sorted((str(member["project_id"]) for member in members), reverse=True)

    async def holders_of(self, role_key: str, project_id: str) -> list[Doc]:
        """Return the members and the invited who have a role in a project."""
        where = {"project_id": project_id, "role_key": role_key, "state": {"$in": ["active", "invited"]}}
        return await self.members.find(where)

    async def list_members(self, project_id: str, query: CollaboratorQuery) -> Page:
        """Return a page of the members and the invited, oldest first."""
        where: dict[str, Any] = {"project_id": project_id, "state": {"$in": ["active", "invited"]}}
        if query.state:
            where["state"] = "invited" if query.state == "expired" else query.state
        if query.state in ("invited", "expired"):
            where["expires_at"] = {"$gt" if query.state == "invited" else "$lte": now_ms()}
        page = await self.members.page(where, cursor=query.cursor, limit=query.limit)
        return Page([shown(member) for member in page.items], page.next_cursor)

    async def join_as_owner(self, project_id: str, user_id: str, email: str) -> None:
        """Make somebody the first member of a new project; once more is no error."""
        if await self.members.find_one({"project_id": project_id, "user_id": user_id}):
            return
        fields = {"_id": new_id(), "role_key": OWNER, "state": "active", "rev": 1}
        await self.members.insert(
            fields | {"project_id": project_id, "user_id": user_id, "email": email, "token_hash": ""}
        )
        await self.tell(project_id, [user_id])

    async def update_member(
        self, actor: Actor, project_id: str, member_id: str, body: CollaboratorUpdate
    ) -> Doc:
        """Give a member, or somebody invited, another role; a project keeps at least one owner."""
        member = await self.get_member(project_id, member_id)
        if body.rev not in (None, member["rev"]):
            raise _changed_meanwhile()
        await self.require_power(actor, project_id, member["role_key"], gives=body.role_key)
        await self._give_up_ownership(member, body.role_key)
        fields = {"role_key": body.role_key}
        if not await self.change(member, fields):
            raise _changed_meanwhile()
        await self.settle_ownership(member | fields)
        await self.log(member, actor, "collaborator.changed", {"role": body.role_key})
        return shown(await self.get_member(project_id, member_id))

    async def remove_member(self, actor: Actor, project_id: str, member_id: str) -> None:
        """End a membership or withdraw an invitation, at once; the last owner cannot be removed."""
        member = await self.get_member(project_id, member_id)
        await self.require_power(actor, project_id, member["role_key"])
        await self._end(member)
        await self.log(member, actor, "collaborator.removed")

    async def leave(self, actor: Actor, project_id: str) -> None:
        """End the actor's own membership; the last owner cannot leave."""
        mine = {"project_id": project_id, "user_id": actor.user_id, "state": "active"}
        member = await self.members.find_one(mine)
        if member is None or await self.project(project_id) is None:
            raise NotFoundError
        await self._end(member)
        await self.log(member, actor, "collaborator.left")

    async def _end(self, member: Doc) -> None:
        await self._give_up_ownership(member, "")
        if not await self.change(member, {"state": "removed", "token_hash": ""}):
            raise _changed_meanwhile()
        if member["state"] == "active":
            await self._ctx.realtime.disconnect(member["user_id"])

    # ------------------------------------------------------------ what invitations use too

    async def get_member(self, project_id: str, member_id: str) -> Doc:
        """Return somebody who is in or invited; raises NotFoundError, also for another project's."""
        if await self.project(project_id) is None:
            raise NotFoundError
        where = {"_id": member_id, "project_id": project_id, "state": {"$in": ["active", "invited"]}}
        member = await self.members.find_one(where)
        if member is None:
            raise NotFoundError
        return member

    async def require_power(
        self, actor: Actor, project_id: str, *roles: str, gives: str | None = None
    ) -> None:
        """Return when the actor holds all that the roles hold; the one that they give must exist.

        Raises InvalidInputError (`role_unknown`) and ForbiddenError (`role_above_own`).
        """
        book = self._ctx.service(RoleBook)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        held = await book.permissions_in(actor, project_id)
        given = await book.permissions_of(gives, project_id) if gives else frozenset()
        if given is None:
            raise InvalidInputError(f"This project has no role {gives!r}.", code="role_unknown")
        taken = [await book.permissions_of(role, project_id) or frozenset() for role in roles]
        if not given.union(*taken) <= held:
            message = "This role may do more than you: ask somebody who has it."
            raise ForbiddenError(message, code="role_above_own")

    async def change(self, member: Doc, fields: Doc) -> bool:
        """Write a membership if nobody else has since it was read, and tell who listens."""
        unread = {"_id": member["_id"], "rev": member["rev"], "state": member["state"]}
        if not await self.members.update(unread, {"$set": fields, "$inc": {"rev": 1}}):
            return False
        await self.tell(member["project_id"], {member.get("user_id"), fields.get("user_id")} - {None})
        return True

    async def tell(self, project_id: str, user_ids: Iterable[Any]) -> None:
        """Say that memberships have changed."""
        for user_id in user_ids:
            for listener in self._listeners:
                await listener(str(user_id), project_id)

    async def settle_ownership(self, member: Doc) -> None:
        """Name a member among the project's owners if their role is that."""
        if member["role_key"] == OWNER and member["state"] == "active":
            named = {"$addToSet": {"owner_ids": member["user_id"]}}
            await self._projects.update(member["project_id"], named)

    async def log(self, member: Doc, actor: Actor, action: str, params: Doc | None = None) -> None:
        """Log what happened to a membership, as activity and as change; the address is the parameter `email`."""
        told = {"email": member["email"], "role": member["role_key"]} | (params or {})
        project_id, target = member["project_id"], ("collaborator", member["_id"])
        self._ctx.activity.log_activity(project_id, actor, action, params=told)
        before, after = _change_of(member, action, told["role"])
        await audit(self._ctx, actor, action, target, project_id=project_id, before=before, after=after)

    async def _give_up_ownership(self, member: Doc, role_key: str) -> None:
        """Take a member out of `owner_ids` before the role goes; raises ConflictError for the last owner.

        That list is one field of one document, so of any number of owners who leave at once one stays.
        """
        if member["role_key"] != OWNER or member["state"] != "active" or role_key == OWNER:
            return
        for _ in range(OWNER_TRIES):
            project = await self.project(member["project_id"]) or {}
            named = project.get("owner_ids") or []
            real = {holder.get("user_id") for holder in await self._owners(member["project_id"])}
            rest = [owner for owner in named if owner in real and owner != member["user_id"]]
            if not rest:
                raise ConflictError(
                    "A project keeps an owner: make somebody else one first.", code="last_owner"
                )
            head = project["owner_id"] if project["owner_id"] in rest else rest[0]
            change = {"$set": {"owner_ids": rest, "owner_id": head}}
            if await self._projects.update({"_id": project["_id"], "owner_ids": named}, change):
                return
        raise _changed_meanwhile()

    async def _owners(self, project_id: str) -> list[Doc]:
        return await self.members.find({"project_id": project_id, "role_key": OWNER, "state": "active"})

    @property
    def members(self) -> Repository:
        """The collection of memberships and invitations."""
        return self._ctx.database["collaborators"]

    @property
    def _projects(self) -> Repository:
        return self._ctx.database["projects"]


def _change_of(member: Doc, action: str, role_key: str) -> tuple[Doc | None, Doc | None]:
    """Return what the audit log tells of a membership before and after `action`."""
    if action == "collaborator.changed":
        return {"role_key": member["role_key"]}, {"role_key": role_key}
    held = {"email": member["email"], "role_key": role_key}
    over = action in ("collaborator.removed", "collaborator.left", "collaborator.declined")
    return (held, None) if over else (None, held)


def shown(member: Doc) -> Doc:
    """Return a membership as it is shown: an invitation whose time is over is expired."""
    if member["state"] != "invited":
        return member | {"expires_at": None}
    return member | {"state": "expired"} if member["expires_at"] <= now_ms() else member


def _changed_meanwhile() -> ConflictError:
    return ConflictError("Somebody else changed this collaborator; read it again.", code="stale_revision")
