"""Routes of sign-in by password. What carries a password or tokens is never stored for an Idempotency-Key."""

from __future__ import annotations

from studio import PUBLIC, SIGNED_IN, Route
from studio_auth.api import TokenPair
from studio_password import handlers
from studio_password.models import PasswordState

P = "/api/auth/password"

ROUTES = [
    Route(
        "POST",
        f"{P}/login",
        handlers.log_in,
        PUBLIC,
        returns=TokenPair,
        idempotent=False,
        rate="auth",
        also=(401, 404),
    ),
    Route("GET", P, handlers.get_password, SIGNED_IN, returns=PasswordState, also=(404,)),
    Route("PUT", P, handlers.set_password, SIGNED_IN, idempotent=False, rate="auth", also=(404,)),
    Route("DELETE", P, handlers.delete_password, SIGNED_IN, idempotent=False, rate="auth", also=(404,)),
]
