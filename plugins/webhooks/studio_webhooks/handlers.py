"""Handlers of both halves."""

from __future__ import annotations

from studio import Doc, Page, Request
from studio_webhooks.endpoints import EndpointService
from studio_webhooks.models import (
    CallQuery,
    DeliveryQuery,
    EndpointCreate,
    EndpointQuery,
    EndpointUpdate,
)
from studio_webhooks.outbox import Outbox
from studio_webhooks.receiving import read_call
from studio_webhooks.service import InboxService


async def receive_call(request: Request, provider: str) -> Doc:
    """Take a vendor's call: checked by its signature, stored once, worked on afterwards.

    A repetition is answered like the first. 401: the signature is not good; 503: it cannot be checked now.
    """
    return await _receive(request, provider, "")


async def receive_account_call(request: Request, provider: str, account: str) -> Doc:
    """Take a vendor's call for one of several accounts."""
    return await _receive(request, provider, account)


async def _receive(request: Request, provider: str, account: str) -> Doc:
    inbox, remote = request.service(InboxService), request.raw.remote or ""
    limit = inbox.admit(provider, remote)
    return await inbox.receive(provider, account, await read_call(request.raw, limit), remote)


async def list_calls(request: Request, query: CallQuery) -> Page:
    """List vendors' calls, newest first."""
    return await request.service(InboxService).list_calls(query)


async def get_call(request: Request, call_id: str) -> Doc:
    """Get one call with its headers, without secrets, and its body."""
    return await request.service(InboxService).get_call(call_id)


async def replay_call(request: Request, call_id: str) -> Doc:
    """Work on a call anew that was processed, ignored or is dead."""
    return await request.service(InboxService).replay_call(request.actor, call_id)


async def list_event_types(request: Request) -> Doc:
    """List what endpoints can be told of."""
    return {"items": request.service(EndpointService).list_event_types()}


async def load_endpoint(request: Request) -> Doc:
    """Return the endpoint of the path."""
    return await request.service(EndpointService).get_endpoint(request.path["endpoint_id"])


async def load_delivery(request: Request) -> Doc:
    """Return the delivery of the path."""
    return await request.service(Outbox).get_delivery(request.path["delivery_id"])


async def list_endpoints(request: Request, query: EndpointQuery) -> Page:
    """List a project's endpoints."""
    return await request.service(EndpointService).list_endpoints(query)


async def create_endpoint(request: Request, body: EndpointCreate) -> Doc:
    """Add an endpoint; the answer shows its secret, once."""
    return await request.service(EndpointService).create_endpoint(request.actor, body)


async def get_endpoint(_: Request, target: Doc) -> Doc:
    """Get one endpoint."""
    return target


async def update_endpoint(request: Request, target: Doc, body: EndpointUpdate) -> Doc:
    """Change an endpoint, or switch it on or off."""
    return await request.service(EndpointService).update_endpoint(request.actor, target, body)


async def delete_endpoint(request: Request, target: Doc) -> None:
    """Remove an endpoint and its deliveries."""
    await request.service(EndpointService).delete_endpoint(request.actor, target)
    await request.service(Outbox).forget(target["_id"])


async def rotate_secret(request: Request, target: Doc) -> Doc:
    """Give an endpoint a new secret and show it, once; the old one signs too for 24 h."""
    return await request.service(EndpointService).rotate_secret(request.actor, target)


async def send_test(request: Request, target: Doc) -> Doc:
    """Send an event "webhook.test" to an endpoint."""
    return await request.service(Outbox).send_test(target)


async def list_deliveries(request: Request, query: DeliveryQuery) -> Page:
    """List a project's deliveries, newest first."""
    return await request.service(Outbox).list_deliveries(query)


async def get_delivery(_: Request, target: Doc) -> Doc:
    """Get one delivery with its body."""
    return target


async def redeliver(request: Request, target: Doc) -> Doc:
    """Send an ended delivery once more, under the same id."""
    return await request.service(Outbox).redeliver(request.actor, target)
