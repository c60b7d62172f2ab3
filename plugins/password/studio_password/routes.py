"""Routes of sign-in by password. What carries a password or tokens is never stored for an Idempotency-Key."""

from __future__ import annotations

from studio import PUBLIC, SIGNED_IN, Route
from studio_auth.api import TokenPair
from studio_password import handlers
from studio_password.models import PasswordState

P = "/api/auth/password"

ROUTES = [
    Route("POST", f"{P}/login", handlers.log_in, PUBLIC, returns=TokenPair, idempotent=False, rate="auth"),
    Route("GET", P, handlers.get_password, SIGNED_IN, returns=PasswordState),
    Route("PUT", P, handlers.set_password, SIGNED_IN, idempotent=False, rate="auth"),
    Route("DELETE", P, handlers.delete_password, SIGNED_IN, idempotent=False, rate="auth"),
]
