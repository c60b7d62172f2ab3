"""The table of routes: vendors' calls, the inbox for operators, endpoints and deliveries of a project, the page."""

from __future__ import annotations

from functools import partial

from studio import PUBLIC, SIGNED_IN, Route, project_in_body, project_in_query
from studio_webhooks import handlers as h
from studio_webhooks import models as m
from studio_webhooks import pages

OPERATE, MANAGE = "platform:operate", "webhook:manage"
P = "/api/webhooks"
INBOX, ENDPOINTS, DELIVERIES = f"{P}/inbox", f"{P}/endpoints", f"{P}/deliveries"
ENDPOINT, DELIVERY = f"{ENDPOINTS}/{{endpoint_id}}", f"{DELIVERIES}/{{delivery_id}}"
_Call = partial(
    Route,
    "POST",
    permission=PUBLIC,
    returns=m.Receipt,
    status=202,
    idempotent=False,
    rate="none",
    also=(401, 408, 413, 415),
)
"""The signature is the right, the vendor's delivery id the idempotency key, and no valid call is ever too much."""

ROUTES = [
    _Call(f"{P}/{{provider}}", h.receive_call),
    _Call(f"{P}/{{provider}}/{{account}}", h.receive_account_call),
    Route("GET", INBOX, h.list_calls, OPERATE, returns=m.CallPublic),
    Route("GET", f"{INBOX}/{{call_id}}", h.get_call, OPERATE, returns=m.CallDetail),
    Route("POST", f"{INBOX}/{{call_id}}/replay", h.replay_call, OPERATE, returns=m.CallDetail),
    Route("GET", f"{P}/event-types", h.list_event_types, SIGNED_IN, returns=m.EventTypes),
    Route("GET", ENDPOINTS, h.list_endpoints, MANAGE, returns=m.EndpointPublic, load=project_in_query),
    Route(
        "POST",
        ENDPOINTS,
        h.create_endpoint,
        MANAGE,
        returns=m.EndpointSecret,
        status=201,
        load=project_in_body,
        idempotent=False,
    ),
    Route("GET", ENDPOINT, h.get_endpoint, MANAGE, returns=m.EndpointPublic, load=h.load_endpoint),
    Route("PATCH", ENDPOINT, h.update_endpoint, MANAGE, returns=m.EndpointPublic, load=h.load_endpoint),
    Route("DELETE", ENDPOINT, h.delete_endpoint, MANAGE, load=h.load_endpoint),
    Route(
        "POST",
        f"{ENDPOINT}/rotate",
        h.rotate_secret,
        MANAGE,
        returns=m.EndpointSecret,
        load=h.load_endpoint,
        idempotent=False,
    ),
    Route(
        "POST",
        f"{ENDPOINT}/test",
        h.send_test,
        MANAGE,
        returns=m.DeliveryPublic,
        status=202,
        load=h.load_endpoint,
    ),
    Route("GET", DELIVERIES, h.list_deliveries, MANAGE, returns=m.DeliveryPublic, load=project_in_query),
    Route("GET", DELIVERY, h.get_delivery, MANAGE, returns=m.DeliveryDetail, load=h.load_delivery),
    Route(
        "POST",
        f"{DELIVERY}/redeliver",
        h.redeliver,
        MANAGE,
        returns=m.DeliveryPublic,
        status=202,
        load=h.load_delivery,
    ),
    Route("GET", pages.PAGE, pages.open_page, PUBLIC, produces="text/html"),
    Route(
        "GET",
        f"{pages.FILES}/{{file_name}}",
        pages.get_file,
        PUBLIC,
        produces="application/octet-stream",
        also=(304,),
        rate="none",
    ),
]
