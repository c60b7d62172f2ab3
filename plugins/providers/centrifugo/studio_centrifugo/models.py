"""Centrifugo's words, what waits to be sent, and what the front end is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from studio import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio_centrifugo.settings import CentrifugoSettings

TEMPORARY = frozenset({100, 111, 113})
"""Internal, too many requests, concurrent pagination: the same again may go well. Source: Centrifugo, error codes."""
CHANNEL_CHARS = 255
Method = Literal["publish", "broadcast", "disconnect"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One command on its way: `data` is JSON, `key` is the same for every try, `until` the loop's time.

    `targets` are channels, or the user that is to be cut.
    """

    method: Method
    targets: tuple[str, ...]
    topic: str
    data: bytes
    key: str
    until: float

    def command(self) -> bytes:
        """Return the command for `POST /api/batch`."""
        data = orjson.Fragment(self.data)
        if self.method == "disconnect":
            return orjson.dumps({"disconnect": {"user": self.targets[0], "disconnect": data}})
        many = self.method == "broadcast"
        named = {"channels": self.targets} if many else {"channel": self.targets[0]}
        return orjson.dumps({self.method: named | {"data": data, "idempotency_key": self.key}})

    def errors(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        """Return the error of each target that has one; a broadcast answers for each of its channels."""
        unread = {"code": 100, "message": "an answer of another shape"}
        result = reply.get(self.method)
        if error := reply.get("error") or (None if isinstance(result, dict) else unread):
            return dict.fromkeys(self.targets, error)
        if self.method != "broadcast":
            return {}
        responses = result.get("responses") if isinstance(result, dict) else None
        if not isinstance(responses, list) or len(responses) != len(self.targets):
            return dict.fromkeys(self.targets, unread)
        pairs = zip(self.targets, responses, strict=True)
        return {t: found["error"] for t, found in pairs if isinstance(found, dict) and found.get("error")}


class CentrifugoToken(Model):
    """A token to connect with; ask for a new one before `expires_at` (UTC ms)."""

    token: str
    expires_at: int
    url: str | None
    channel: str
    """The user's own: the client subscribes to it without another token."""


class SubscriptionCreate(Model):
    """The project whose news the caller wants."""

    project: str


class SubscriptionToken(Model):
    """A token to subscribe to `channel` with."""

    channel: str
    token: str
    expires_at: int


def checked_message(message: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return topic and JSON of `{topic, data}`; raises ValueError or TypeError."""
    if set(message) != {"topic", "data"} or not isinstance(message["topic"], str):
        raise ValueError('a message is {"topic": str, "data": …}')
    return message["topic"], orjson.dumps(dict(message))


def channel_name(pattern: str, **values: str) -> str:
    """Fill a pattern; raises ValueError for what Centrifugo would not take as a channel."""
    name = pattern
    for key, value in values.items():
        name = name.replace(f"{{{key}}}", value)
    if not name.isascii() or not name.isprintable() or not 0 < len(name) <= CHANNEL_CHARS:
        raise ValueError(f"a channel has 1 to {CHANNEL_CHARS} ASCII characters")
    return name


def user_channel(settings: CentrifugoSettings, product: str, user_id: str) -> str:
    """Return the channel of one user in one front end; raises ValueError for an id with # or ,."""
    if not user_id or set(user_id) & set("#,"):
        raise ValueError("a user id in a channel has at least one character, and no # or ,")
    return channel_name(settings.channels.get(product, settings.channel), product=product, user_id=user_id)
