"""Invitations: a random token in a link, only its hash in the database, good once and for some days.

The account that accepts must have the invited address. Signing in proves an address anyway, so this costs nobody
more than a code, and a link that was forwarded, logged or shown to the inviter lets nobody else in.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from studio import (
    Actor,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PluginUnavailableError,
    RateLimitedError,
    new_id,
    now_ms,
)
from studio_mailer.api import Mails
from studio_projects.api import RoleBook, UserDirectory
from studio_projects.members import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Doc, PluginContext
    from studio_projects.members import MemberService
    from studio_projects.models import CollaboratorCreate
    from studio_projects.settings import ProjectsSettings

MAX_COLLABORATORS = 500
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)


class InvitationService:
    """Invites, and lets those invited accept or decline; `clock` in UTC ms."""

    def __init__(
        self,
        ctx: PluginContext,
        members: MemberService,
        settings: ProjectsSettings,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._ctx, self._all, self._settings, self._clock = ctx, members, settings, clock

    async def invite(self, actor: Actor, project_id: str, body: CollaboratorCreate) -> Doc:
        """Invite an address; of any number of invitations of one address at once, one counts."""
        await self._all.require_power(actor, project_id, gives=body.role_key)
        inside = {"project_id": project_id, "state": {"$in": ["active", "invited"]}}
        if await self._all.members.count(inside) >= MAX_COLLABORATORS:
            raise ConflictError(f"A project takes at most {MAX_COLLABORATORS} collaborators.")
        email, token = str(body.email).lower(), secrets.token_urlsafe(32)
        member = await self._claim(project_id, email, self._fresh(actor, token) | {"role_key": body.role_key})
        await self._all.log(member, actor, "collaborator.invited")
        return await self._hand_out(actor, member, token)

    async def resend(self, actor: Actor, project_id: str, member_id: str) -> Doc:
        """Send a new link, good for as long as a first one; the old link is dead."""
        member = await self._all.get_member(project_id, member_id)
        if member["state"] != "invited":
            raise ConflictError("They are a collaborator already.", code="collaborator_exists")
        await self._all.require_power(actor, project_id, gives=member["role_key"])
        wait_ms = member["sent_at"] + self._settings.resend_interval_s * 1000 - self._clock()
        if wait_ms > 0:
            raise RateLimitedError("This invitation went out a moment ago.", retry_after=wait_ms / 1000)
        token = secrets.token_urlsafe(32)
        fields = self._fresh(actor, token)
        if not await self._all.change(member, fields):
            raise ConflictError(
                "Somebody else changed this invitation; read it again.", code="stale_revision"
            )
        await self._all.log(member, actor, "collaborator.reminded")
        return await self._hand_out(actor, member | fields | {"rev": member["rev"] + 1}, token)

    async def accept(self, actor: Actor, token: str) -> Doc:
        """Become a member; a second time by the same account changes nothing and is no error."""
        member = await self._invitation(actor, token)
        if member["state"] == "invited":
            await self._refuse_stale(member)
            fields = {"state": "active", "user_id": actor.user_id, "accepted_at": self._clock()}
            try:
                won = await self._all.change(member, fields)
            except ConflictError:  # they are in under an address that they had before
                raise ConflictError("You are a collaborator already.", code="collaborator_exists") from None
            if won:
                await self._all.settle_ownership(member | fields)
                await self._all.log(member, actor, "collaborator.added")
            member = await self._invitation(actor, token)
        return shown(member)

    async def decline(self, actor: Actor, token: str) -> None:
        """Say no; the link is dead, and the address can be invited again."""
        member = await self._invitation(actor, token)
        fields = {"state": "declined", "token_hash": ""}
        if member["state"] != "invited" or not await self._all.change(member, fields):
            raise NotFoundError
        await self._all.log(member, actor, "collaborator.declined")

    async def _invitation(self, actor: Actor, token: str) -> Doc:
        """Return the invitation of a token, or what has become of it in the same person's hands.

        Raises NotFoundError for any token that is not good now, ForbiddenError for another's.
        """
        member = None
        if _TOKEN.fullmatch(token):
            member = await self._all.members.find_one({"token_hash": _hash(token)})
        if member is None or member["state"] not in ("invited", "active"):
            raise NotFoundError("This invitation is not good any more: ask for a new one.")
        user = await self._user(actor)
        elsewhere = member["state"] == "active" and member["user_id"] != actor.user_id
        if user is None or elsewhere or user["email"] != member["email"]:
            message = f"This invitation is for {_veiled(member['email'])}: sign in with that address."
            raise ForbiddenError(message, code="invitation_for_another_address")
        return member

    async def _refuse_stale(self, member: Doc) -> None:
        """Raise for an invitation that is too old, or that its sender could not send any more."""
        if member["expires_at"] <= self._clock():
            raise ConflictError("This invitation has expired: ask for a new one.", code="invitation_expired")
        if await self._all.project(member["project_id"]) is None:
            raise NotFoundError
        book = self._ctx.service(RoleBook)  # type: ignore[type-abstract]  # as above
        held = await book.permissions_in(Actor(member["invited_by"]), member["project_id"])
        given = await book.permissions_of(member["role_key"], member["project_id"])
        if given is None or not given | {"project:invite"} <= held:
            message = "Whoever invited you may not do so any more: ask for a new invitation."
            raise ConflictError(message, code="invitation_withdrawn")

    def _fresh(self, actor: Actor, token: str) -> Doc:
        now = self._clock()
        ends = now + int(self._settings.invitation_days * DAY_MS)
        fields = {"state": "invited", "token_hash": _hash(token), "invited_by": actor.user_id}
        return fields | {"sent_at": now, "expires_at": ends}

    async def _claim(self, project_id: str, email: str, fields: Doc) -> Doc:
        """Store an invitation; raises ConflictError if the address has one, or is in."""
        await self._refuse_flood(fields["invited_by"])
        found = await self._all.members.find_one({"project_id": project_id, "email": email})
        try:
            if found is None:
                pair = {"_id": new_id(), "project_id": project_id, "email": email, "rev": 1}
                return await self._all.members.insert(pair | fields)
        except ConflictError:  # somebody was faster
            raise _invited_already() from None
        if found["state"] == "active":
            raise ConflictError("They are a collaborator already.", code="collaborator_exists")
        if found["state"] == "invited" and found["expires_at"] > self._clock():
            raise _invited_already()
        if not await self._all.change(found, fields):
            raise _invited_already()
        return found | fields | {"rev": found["rev"] + 1}

    async def _refuse_flood(self, user_id: str) -> None:
        """Raise RateLimitedError for somebody whose invitations have filled an hour."""
        recent = {"invited_by": user_id, "sent_at": {"$gt": self._clock() - HOUR_MS}}
        if await self._all.members.count(recent) >= self._settings.invitations_per_hour:
            message = "You have invited as many people as an hour allows; go on later."
            raise RateLimitedError(message, retry_after=HOUR_MS / 1000)

    async def _hand_out(self, actor: Actor, member: Doc, token: str) -> Doc:
        """Have the link mailed; where no plugin that mails is on, return it with the invitation."""
        link = self._settings.invitation_link.replace("{token}", token)
        mails = self._mails()
        if mails is None:
            public = (self._ctx.config.server.public_url or "") if link.startswith("/") else ""
            return shown(member) | {"mail": "not_sent", "accept_link": public + link}
        occasion = f"invitation:{member['_id']}:{member['rev']}"
        values = await self._values(actor, member) | {"url": link}
        await mails.enqueue("invitation", member["email"], values, key=occasion)
        return shown(member) | {"mail": "queued", "accept_link": None}

    async def _values(self, actor: Actor, member: Doc) -> Doc:
        """Return what the mail says, beside the link."""
        user = await self._user(actor) or {"email": ""}
        project = await self._all.project(member["project_id"]) or {"name": ""}
        values = {"inviter_name": user.get("name") or "", "inviter_email": user["email"]}
        return values | {
            "project": project["name"],
            "role": member["role_key"],
            "expires_ms": member["expires_at"],
        }

    def _mails(self) -> Mails | None:
        try:
            return self._ctx.service(Mails)  # type: ignore[type-abstract]  # as above
        except PluginUnavailableError:
            return None

    async def _user(self, actor: Actor) -> Doc | None:
        directory = self._ctx.service(UserDirectory)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        return await directory.user(actor.user_id)


def _hash(token: str) -> str:
    """Return what is stored of a token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def _veiled(email: str) -> str:
    name, _, domain = email.partition("@")
    return f"{name[:1]}…@{domain}"


def _invited_already() -> ConflictError:
    return ConflictError("They are invited already: send the invitation again.", code="invitation_exists")
