"""Handlers of the tokens."""

from __future__ import annotations

from studio import Request
from studio_centrifugo.models import CentrifugoToken, SubscriptionCreate, SubscriptionToken
from studio_centrifugo.service import TokenService


async def create_token(request: Request) -> CentrifugoToken:
    """Sign a token to connect with, for the caller."""
    return request.service(TokenService).create_token(request.actor)


async def create_subscription(request: Request, body: SubscriptionCreate) -> SubscriptionToken:
    """Sign a token for the news of a project."""
    return await request.service(TokenService).create_subscription(request.actor, body.project)
