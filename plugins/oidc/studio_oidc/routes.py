"""Routes of sign-in by OpenID Connect."""

from __future__ import annotations

from studio import PUBLIC, Route
from studio_auth.api import TokenPair
from studio_oidc import handlers
from studio_oidc.models import OidcProviderList
from studio_oidc.service import BASE

ONE = f"{BASE}/{{provider}}"

ROUTES = [
    Route("GET", BASE, handlers.list_providers, PUBLIC, returns=OidcProviderList),
    Route("GET", f"{ONE}/start", handlers.start, PUBLIC, status=302, rate="auth", also=(502,)),
    Route("GET", f"{ONE}/callback", handlers.finish, PUBLIC, status=302, rate="auth"),
    Route(
        "POST",
        f"{BASE}/exchange",
        handlers.exchange,
        PUBLIC,
        returns=TokenPair,
        idempotent=False,
        rate="auth",
        also=(401,),
    ),
]
