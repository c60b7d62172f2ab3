"""Routes of the tokens. No answer is stored for an Idempotency-Key: it holds a token."""

from __future__ import annotations

from studio import SIGNED_IN, Route
from studio_centrifugo import handlers
from studio_centrifugo.models import CentrifugoToken, SubscriptionToken

C = "/api/centrifugo"

ROUTES = [
    Route(
        "POST",
        f"{C}/token",
        handlers.create_token,
        SIGNED_IN,
        returns=CentrifugoToken,
        idempotent=False,
        also=(503,),
        summary="Get a short token to connect to Centrifugo with, and the channel of the caller.",
    ),
    Route(
        "POST",
        f"{C}/subscription",
        handlers.create_subscription,
        SIGNED_IN,
        returns=SubscriptionToken,
        idempotent=False,
        also=(404, 503),
        summary="Get a token to hear the news of a project with.",
    ),
]
