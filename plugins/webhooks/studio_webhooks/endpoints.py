"""Endpoints: who is told of what in a project, and with which secret."""

from __future__ import annotations

import base64
import hashlib
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from studio import SYSTEM, ConflictError, Doc, InvalidInputError, NotFoundError, Page, new_id, now_ms
from studio_audit.api import audit, differences
from studio_webhooks.addresses import check_url, host_of
from studio_webhooks.events import EVERYTHING, event_types

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from studio import Actor, PluginContext, Repository
    from studio_webhooks.models import EndpointCreate, EndpointQuery, EndpointUpdate
    from studio_webhooks.settings import WebhooksSettings

ENDPOINTS = "webhook_endpoints"
DAY_S = 86_400
SECRET_BYTES = 32
"""Source: Standard Webhooks, "signature scheme": between 24 and 64 bytes."""
AUDITED, DIGEST_CHARS = ("host", "url_digest", "event_types", "enabled"), 12
OLD_SECRET_MS = DAY_S * 1000
"""After a rotation both secrets sign for so long, so that the receiver can follow."""


class EndpointService:
    """Keeps the endpoints; `clock` is in UTC ms. Secrets are stored as they are: they sign."""

    def __init__(
        self, ctx: PluginContext, settings: WebhooksSettings, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx, self._settings, self._clock = ctx, settings, clock

    def list_event_types(self) -> list[Doc]:
        """Return what endpoints can be told of."""
        return event_types(self._ctx.activity.actions)

    async def create_endpoint(self, actor: Actor, body: EndpointCreate) -> Doc:
        """Add one with a new secret; raises InvalidInputError, ConflictError when the project has too many."""
        check_url(body.url, self._settings.private_hosts)
        fields = body.model_dump() | {"event_types": self._checked(body.event_types)}
        endpoint = {"_id": new_id(), **fields, "enabled": True, "secret": _new_secret()}
        stored = await self._insert(endpoint)
        self._log(actor, "webhook.created", stored)
        await self._audit(actor, "webhook.created", stored, after=_told(stored))
        return stored

    async def _insert(self, endpoint: Doc) -> Doc:
        """Take the first free place of the project: two that are added at the same time cannot have the same."""
        where, most = {"project_id": endpoint["project_id"]}, self._settings.endpoints
        found = await self._endpoints.find(where, fields=["place"])
        taken = {one.get("place") for one in found}
        free = [place for place in range(1, most + 1) if place not in taken]
        for place in free[: max(0, most - len(found))]:  # those of an older version have no place, and count
            with suppress(ConflictError):  # another took it a moment ago
                return await self._endpoints.insert(endpoint | {"place": place})
        raise ConflictError(f"A project has at most {most} webhooks: remove one.")

    async def list_endpoints(self, query: EndpointQuery) -> Page:
        """Return one page, oldest first."""
        where = {"project_id": query.project_id}
        found: Page = await self._endpoints.page(where, cursor=query.cursor, limit=query.limit)
        return found

    async def get_endpoint(self, endpoint_id: str) -> Doc:
        """Return one; raises NotFoundError."""
        endpoint = await self._endpoints.get(endpoint_id)
        if endpoint is None:
            raise NotFoundError("There is no such webhook.")
        return endpoint

    async def update_endpoint(self, actor: Actor, endpoint: Doc, body: EndpointUpdate) -> Doc:
        """Change what is given; switching on forgets why it was off."""
        given: Doc = {name: value for name, value in body.model_dump().items() if value is not None}
        if "url" in given:
            check_url(given["url"], self._settings.private_hosts)
        if "event_types" in given:
            given["event_types"] = self._checked(given["event_types"])
        change: dict[str, Any] = {"$set": given}
        if body.enabled:
            change["$unset"] = {"disabled_reason": "", "failing_since": "", "expires_at": ""}
        elif body.enabled is False:
            given["disabled_reason"] = "asked"
        changed = await self._changed(endpoint["_id"], change)
        self._log(actor, "webhook.updated", changed)
        before, after = _told(endpoint), _told(changed)
        await self._audit(actor, "webhook.updated", changed, **differences(before, after, AUDITED))
        return changed

    async def delete_endpoint(self, actor: Actor, endpoint: Doc) -> None:
        """Remove one; what is on its way to it comes to nothing."""
        if await self._endpoints.delete(endpoint["_id"]):
            self._log(actor, "webhook.deleted", endpoint)
            await self._audit(actor, "webhook.deleted", endpoint, before=_told(endpoint))

    async def leave_project(self, project_id: str) -> None:
        """Switch those of a deleted project off, and keep them for `keep_d` days: it may be restored."""
        gone = datetime.fromtimestamp(self._clock() / 1000 + self._settings.keep_d * DAY_S, UTC)
        off = {"enabled": False, "disabled_reason": "project_deleted", "expires_at": gone}
        await self._endpoints.update({"project_id": project_id}, {"$set": off}, many=True)

    async def rotate_secret(self, actor: Actor, endpoint: Doc) -> Doc:
        """Give it a new secret; the old one signs too for 24 h."""
        fresh = {"secret": _new_secret(), "old_secret": endpoint["secret"]}
        fresh["old_until"] = self._clock() + OLD_SECRET_MS
        changed = await self._changed(endpoint["_id"], {"$set": fresh})
        self._log(actor, "webhook.rotated", changed)
        await self._audit(actor, "webhook.rotated", changed)
        return changed

    async def told_in(self, project_id: str) -> list[Doc]:
        """Return a project's endpoints that are on, each with its `event_types`."""
        where = {"project_id": project_id, "enabled": True}
        return await self._endpoints.find(where, fields=["event_types"])

    async def find(self, endpoint_id: str) -> Doc | None:
        """Return one, None when it is gone."""
        return await self._endpoints.get(endpoint_id)

    async def succeeded(self, endpoint: Doc) -> None:
        """Note that it took something."""
        if "failing_since" in endpoint:
            await self._endpoints.update(endpoint["_id"], {"$unset": {"failing_since": ""}})

    async def failed(self, endpoint: Doc, *, gone: bool) -> None:
        """Note a failure; switch it off when it is `gone` for good, or has failed for days."""
        now = self._clock()
        since = endpoint.get("failing_since", now)
        if gone or now - since >= self._settings.give_up_d * DAY_S * 1000:
            await self._switch_off(endpoint, "gone" if gone else "failing")
        elif "failing_since" not in endpoint:
            fresh = {"_id": endpoint["_id"], "failing_since": {"$exists": False}}
            await self._endpoints.update(fresh, {"$set": {"failing_since": now}})

    async def _switch_off(self, endpoint: Doc, reason: str) -> None:
        change = {"$set": {"enabled": False, "disabled_reason": reason}}
        if await self._endpoints.update({"_id": endpoint["_id"], "enabled": True}, change):
            self._log(SYSTEM, "webhook.disabled", endpoint, reason=reason)

    async def _changed(self, endpoint_id: str, change: Doc) -> Doc:
        if not await self._endpoints.update(endpoint_id, change):
            raise NotFoundError("There is no such webhook.")
        return await self.get_endpoint(endpoint_id)

    def _checked(self, types: Sequence[str]) -> list[str]:
        known = {event["type"] for event in self.list_event_types()} | {EVERYTHING}
        if unknown := sorted(set(types) - known):
            message = f"No such event: {', '.join(unknown)}. GET /api/webhooks/event-types lists them."
            raise InvalidInputError(message, errors=[{"pointer": "/eventTypes", "message": message}])
        return sorted(set(types))

    def _log(self, actor: Actor, action: str, endpoint: Doc, **params: str) -> None:
        host = host_of(endpoint["url"])
        target = {"type": "webhook", "id": endpoint["_id"], "name": host}
        self._ctx.activity.log_activity(
            endpoint["project_id"], actor, action, target, {"host": host, **params}
        )

    async def _audit(self, actor: Actor, action: str, endpoint: Doc, **told: Doc) -> None:
        target, project_id = ("webhook", endpoint["_id"]), endpoint["project_id"]
        await audit(self._ctx, actor, action, target, project_id=project_id, **told)

    @property
    def _endpoints(self) -> Repository:
        return self._ctx.database[ENDPOINTS]


def _told(endpoint: Doc) -> Doc:
    """Return what the audit log may say: of the address its host, as the rest may hold a secret, and the digest."""
    digest = hashlib.sha256(endpoint["url"].encode()).hexdigest()[:DIGEST_CHARS]
    return {"host": host_of(endpoint["url"]), "url_digest": digest, **{n: endpoint[n] for n in AUDITED[2:]}}


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
