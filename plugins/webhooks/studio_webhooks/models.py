"""Models of the inbox, of endpoints and of deliveries. Times are UTC ms."""

from typing import Annotated, Literal

from pydantic import Field

from studio import Model, PageQuery

CallState = Literal["received", "processed", "ignored", "dead"]
"""`ignored`: the job had ended before; `dead`: no job was found in time, or working on it failed for good."""
DeliveryState = Literal["queued", "delivered", "dead"]
Url = Annotated[str, Field(max_length=2_000, pattern=r"^https?://[^\s\\]+$")]
Types = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=100)]], Field(min_length=1, max_length=100)
]
Description = Annotated[str, Field(max_length=200)]


class Receipt(Model):
    """The answer to a vendor: the call is stored; `duplicate` if it was before."""

    delivery_id: str
    duplicate: bool


class CallPublic(Model):
    """One call of a vendor."""

    id: str
    provider: str
    account: str
    delivery_id: str
    kind: str
    """The vendor's word for the event."""
    provider_job_id: str | None = None
    job_id: str | None = None
    """The job that the address was given for, as the caller says."""
    state: CallState
    attempts: int
    next_at: int
    """When it is worked on next; 0 when it has ended."""
    error: str | None = None
    error_code: str | None = None
    received_at: int


class CallDetail(CallPublic):
    """A call with what came: signatures, tokens and cookies are left out of the headers."""

    headers: dict[str, str]
    body: str
    """As text; bytes that are none are shown as U+FFFD."""


class CallQuery(PageQuery):
    """The list, newest first."""

    provider: str | None = Field(None, max_length=100)
    state: CallState | None = None


class EndpointCreate(Model):
    """Whom to tell of what; `eventTypes` are those of `GET event-types`, or "*"."""

    project_id: str = Field(min_length=1, max_length=64)
    url: Url
    event_types: Types
    description: Description = ""


class EndpointUpdate(Model):
    """What to change; `enabled` true switches one on again that was switched off."""

    description: Description | None = None
    enabled: bool | None = None
    url: Url | None = None
    event_types: Types | None = None


class EndpointPublic(Model):
    """Somebody who is told. `disabledReason` is "gone" (it answered 410), "failing", "asked" or "project_deleted"."""

    id: str
    project_id: str
    url: str
    event_types: list[str]
    description: str
    enabled: bool
    disabled_reason: str | None = None
    failing_since: int | None = None
    """The first failure after the last success."""
    created_at: int
    updated_at: int


class EndpointSecret(EndpointPublic):
    """An endpoint with the secret that checks its signatures, shown this once."""

    secret: str


class EndpointQuery(PageQuery):
    """A project's endpoints, oldest first."""

    project_id: str = Field(min_length=1, max_length=64)


class DeliveryPublic(Model):
    """One event on its way to one endpoint; its id is the header `webhook-id` of every try."""

    id: str
    project_id: str
    endpoint_id: str
    type: str
    state: DeliveryState
    attempts: int
    next_at: int
    """When it is tried next; 0 when it has ended."""
    status: int | None = None
    """The HTTP status of the last try, null when there was no answer."""
    error: str | None = None
    duration_ms: int | None = None
    delivered_at: int | None = None
    created_at: int


class DeliveryDetail(DeliveryPublic):
    """A delivery with the body that is sent."""

    body: str


class DeliveryQuery(PageQuery):
    """A project's deliveries, newest first."""

    project_id: str = Field(min_length=1, max_length=64)
    endpoint_id: str | None = Field(None, max_length=64)
    state: DeliveryState | None = None


class EventType(Model):
    """Something that endpoints can be told of."""

    type: str
    title: str
    category: str


class EventTypes(Model):
    """All of them."""

    items: list[EventType]
