"""Tokens of Centrifugo: who somebody is (connection), and what else they may hear (subscription)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from joserfc import jwt
from joserfc.jwk import OctKey

from studio import UnavailableError, new_id, now_ms
from studio_centrifugo.models import CentrifugoToken, SubscriptionToken, channel_name, user_channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio import Actor, PluginContext
    from studio_centrifugo.settings import CentrifugoSettings

ALGORITHM = "HS256"


class TokenService:
    """Signs short tokens; a revoked session keeps its connection until its token ends. `clock` in UTC ms."""

    def __init__(
        self, ctx: PluginContext, settings: CentrifugoSettings, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ctx, self._settings, self._clock = ctx, settings, clock

    def create_token(self, actor: Actor) -> CentrifugoToken:
        """Return a token to connect with; raises UnavailableError when nothing can be signed."""
        token, expires_at = self._signed({"sub": actor.user_id})
        channel = user_channel(self._settings, self._settings.product, actor.user_id)
        return CentrifugoToken(token=token, expires_at=expires_at, url=self._settings.ws_url, channel=channel)

    async def create_subscription(self, actor: Actor, project_id: str) -> SubscriptionToken:
        """Return a token for the room of a project that the actor may read."""
        await self._ctx.auth.require(actor, "project:read", project_id)
        channel = channel_name(self._settings.room_channel, room=f"project:{project_id}")
        token, expires_at = self._signed({"sub": actor.user_id, "channel": channel})
        return SubscriptionToken(channel=channel, token=token, expires_at=expires_at)

    def _signed(self, claims: dict[str, str]) -> tuple[str, int]:
        secret = self._settings.token_secret
        if secret is None or not self._settings.api_url:
            raise UnavailableError(
                "Centrifugo is off: set STUDIO_CENTRIFUGO__API_URL and STUDIO_CENTRIFUGO__TOKEN_SECRET."
            )
        now = self._clock() // 1000
        expires = now + self._settings.token_ttl_s
        key = OctKey.import_key(secret.get_secret_value())
        whole = claims | {"iat": now, "exp": expires, "jti": new_id()}
        return jwt.encode({"alg": ALGORITHM}, whole, key, algorithms=[ALGORITHM]), expires * 1000
