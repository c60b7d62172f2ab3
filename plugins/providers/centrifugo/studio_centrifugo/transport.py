"""The realtime transport `centrifugo`, and the publisher of `studio_centrifugo.api`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from studio import UnavailableError, new_id
from studio_centrifugo.client import CentrifugoApi
from studio_centrifugo.models import Outgoing, channel_name, checked_message, user_channel
from studio_centrifugo.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from studio import Message, PluginContext
    from studio_centrifugo.api import FrontendChannel
    from studio_centrifugo.models import Method
    from studio_centrifugo.settings import CentrifugoSettings

STOP_S = 1.5
SIGNED_OUT = {"code": 4501, "reason": "signed out"}
SESSION_ENDED = {"code": 4001, "reason": "a session ended"}
"""From 4500 on a client stays away, below it comes back. Source: Centrifugo, disconnect codes."""


class CentrifugoTransport:
    """Takes over the new events from Socket.IO; reaches every client from any process."""

    name, shared, succeeds = "centrifugo", True, "socketio"

    def __init__(self, ctx: PluginContext, settings: CentrifugoSettings) -> None:
        self._settings, self._log = settings, ctx.log
        self._api = CentrifugoApi(ctx, settings)
        debug = ctx.config.environment == "development" if settings.debug is None else settings.debug
        self.sender = Sender(self._api, ctx.log, settings.queue, debug=debug)

    async def send(self, message: Message) -> None:
        """Queue an event as `{topic, data}`, with `seq` in the data."""
        if message.target == "user":
            channel = user_channel(self._settings, self._settings.product, message.target_id)
        else:
            channel = channel_name(self._settings.room_channel, room=message.target_id)
        data = orjson.dumps({"topic": message.event, "data": message.wire})
        self._put("publish", (channel,), message.event, data)

    def publish(self, channel: FrontendChannel, message: Mapping[str, Any]) -> None:
        """Queue a message for a user."""
        self.broadcast((channel,), message)

    def broadcast(self, channels: Iterable[FrontendChannel], message: Mapping[str, Any]) -> None:
        """Queue a message for many users."""
        topic, data = checked_message(message)
        named = (user_channel(self._settings, c.product.value, c.user_id) for c in channels)
        if names := tuple(dict.fromkeys(named)):
            self._put("broadcast" if len(names) > 1 else "publish", names, topic, data)

    async def disconnect(self, user_id: str, *, session_id: str | None = None) -> None:
        """Queue a cut of the user's connections; Centrifugo does not know our sessions, the good ones come back."""
        code = SIGNED_OUT if session_id is None else SESSION_ENDED
        self._put("disconnect", (user_id,), "", orjson.dumps(code))

    async def check(self) -> str:
        """Return a note for `/readyz`; raises UnavailableError while nothing gets through."""
        await self._api.call("info")
        if self.sender.trouble and self.sender.queued:
            raise UnavailableError(f"{self.sender.trouble} {self.sender.queued} messages wait.")
        return f"{self.sender.sent} sent, {self.sender.dropped} dropped, {self.sender.refused} refused"

    async def close(self) -> None:
        """Send what is queued, for 1.5 s at most."""
        await self.sender.finish(STOP_S)

    def _put(self, method: Method, targets: tuple[str, ...], topic: str, data: bytes) -> None:
        until = asyncio.get_running_loop().time() + self._settings.keep_s
        self.sender.put(Outgoing(method, targets, topic, data, new_id(), until))


class NoCentrifugo:
    """The publisher of an installation without Centrifugo: messages are checked, and go nowhere."""

    def publish(self, channel: FrontendChannel, message: Mapping[str, Any]) -> None:
        """Check the message."""
        self.broadcast((channel,), message)

    def broadcast(self, channels: Iterable[FrontendChannel], message: Mapping[str, Any]) -> None:
        """Check the message."""
        del channels  # there is nobody
        checked_message(message)
